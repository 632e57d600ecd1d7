"""The history over HTTP: pages, search, one call, its recording, erasing it. All require the server key."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar, get_args

from aiohttp import hdrs, web

from agent.errors import OfferError
from agent.events import Fault
from agent.settings import Settings
from agent.unicode import valid_text
from signaling.history.complaints import Complaints
from signaling.history.database import FAILURES
from signaling.history.history import History
from signaling.history.objects import NotStored, Stored, StoreError
from signaling.history.observe import Figures
from signaling.history.outbox import HISTORY_PATH, RECORDING_PATH
from signaling.history.read import MAX_PAGE, Filters
from signaling.history.record import CallState
from signaling.http.tokens import want_key_holder

logger = logging.getLogger(__name__)

DEFAULT_PAGE = 50
RETRY_AFTER_S = 5
MAX_PARAMETER_CHARS = 500
CHOICES: Mapping[str, tuple[str, ...]] = {
    "state": get_args(CallState),
    "direction": ("inbound", "outbound"),
    "fault": get_args(Fault),
}
TEXTS = ("reason", "caller", "callee")
TIMES = ("since_ms", "until_ms")
TIME_DIGITS = 14  # until the year 5138; turn ids are derived from these times
PARAMETERS = frozenset({"q", "before", "limit", *CHOICES, *TEXTS, *TIMES})
MEDIA_TYPES = {
    ".webm": "audio/webm",
    ".mka": "audio/x-matroska",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
}
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
CALL_ID = re.compile(r"[A-Za-z0-9._~-]{1,200}")
RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")

T = TypeVar("T")


def routes(
    settings: Settings, history: History, figures_now: Callable[[str], Figures | None] = lambda _id: None
) -> list[web.RouteDef]:
    """Return the routes of the history; docs/history.md describes them.

    Args:
        settings: the service's settings.
        history: the history.
        figures_now: returns the figures so far of a call with this id; None if it does not run here.
    """
    complaints = Complaints(logger)

    async def show_page(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        query = _query(request)
        limit, filters = _limit(query), _filters(query)
        if "q" in query:
            found = await _answer(history.search(query["q"], _turn_cursor(query), filters, limit))
            following = None if found.before is None else str(found.before)
            return _json({"calls": _by_call(found.hits), "next": following})
        calls = await _answer(history.page(_call_cursor(query), filters, limit))
        following = f"{calls[-1]['started_ms']}.{calls[-1]['id']}" if len(calls) == limit else None
        return _json({"calls": calls, "next": following})

    async def show(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        found = await _answer(history.one(_call_id(request)))
        if found is None:
            raise _unknown()
        if found["state"] == "running" and (figures := figures_now(found["id"])) is not None:
            found |= {each.name: getattr(figures, each.name) for each in fields(figures)}  # `asdict` would copy all
        return _json(found)

    async def erase(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        gone = await _answer(history.erase(_call_id(request)))
        if gone is None:
            raise _unknown()
        return web.Response(status=204 if gone else 202)

    async def show_recording(request: web.Request) -> web.StreamResponse:
        want_key_holder(request, settings)
        key = await _recording_key(history, _call_id(request))
        assert history.objects is not None
        stored = await _answer(history.objects.look(key))
        response, start, end = _recording_response(request, key, stored)
        if request.method == hdrs.METH_HEAD or start == end:
            return response
        chunks = history.objects.read(key, start, end)
        first = await _answer(anext(chunks))  # so that a failure of the store can still be answered with a status
        await response.prepare(request)
        await response.write(first)
        try:
            async for chunk in chunks:
                await response.write(chunk)
        except StoreError as error:  # too late for a status: the client sees a body that is too short
            complaints.tell("history: a recording could not be read to its end", error)
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response

    return [
        web.get(HISTORY_PATH, show_page),
        web.get(f"{HISTORY_PATH}/{{call_id}}", show),
        web.delete(f"{HISTORY_PATH}/{{call_id}}", erase),
        web.get(RECORDING_PATH, show_recording),
    ]


async def _answer(asked: Awaitable[T]) -> T:
    """Await the database or the store; if it cannot be reached, answer with a server error."""
    try:
        return await asked
    except NotStored:
        raise OfferError(404, "no_recording", "The recording is not in the store any more.") from None
    except (*FAILURES, StoreError):
        raise OfferError(
            503, "history_unavailable", "The history cannot be reached now.", retry_after_s=RETRY_AFTER_S
        ) from None


async def _recording_key(history: History, call_id: str) -> str:
    found = await _answer(history.recording_of(call_id))
    if found is None:
        raise _unknown()
    state, key = found
    if state != "stored" or key is None or history.objects is None:
        why = {"writing": "It is still being written.", "failed": "It could not be kept."}.get(
            state, "There is none."
        )
        raise OfferError(404, "no_recording", f"This call has no recording that could be fetched. {why}")
    return key


def _recording_response(request: web.Request, key: str, stored: Stored) -> tuple[web.StreamResponse, int, int]:
    """Return the response, and the start and end of the bytes to send, end excluded (RFC 9110 section 14)."""
    path = PurePosixPath(key)
    headers = {
        **PRIVATE,
        "Accept-Ranges": "bytes",
        "Content-Type": MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
        "Content-Disposition": f'inline; filename="{re.sub("[^A-Za-z0-9._-]", "_", path.name)}"',
    }
    if stored.etag:
        headers["ETag"] = f'"{stored.etag}"'
    size = stored.size_bytes
    part = _range(request, headers.get("ETag"), size)
    if part is None:
        response = web.StreamResponse(headers=headers)
        start, end = 0, size
    else:
        start, end = part
        if start >= end:
            headers = {**PRIVATE, "Content-Range": f"bytes */{size}"}
            return web.Response(status=416, headers=headers), 0, 0
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206, headers=headers)
    response.content_length = end - start
    return response, start, end


def _range(request: web.Request, etag: str | None, size: int) -> tuple[int, int] | None:
    """Return the requested range; None for all. A malformed header, or one with several ranges, is ignored."""
    asked = RANGE.fullmatch(request.headers.get("Range", "").strip())
    condition = request.headers.get("If-Range")
    if asked is None or request.method != hdrs.METH_GET or (condition is not None and condition != etag):
        return None
    first, last, suffix = asked.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size
    if last and int(last) < int(first):
        return None  # invalid, so it is ignored
    return int(first), min(int(last) + 1, size) if last else size


def _by_call(hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls of the turns found, each call once, with its turns as ``hits``."""
    found: dict[str, dict[str, Any]] = {}
    for hit in hits:
        of_call = found.setdefault(hit["call"]["id"], {**hit["call"], "hits": []})
        of_call["hits"].append({name: hit[name] for name in ("turn_id", "speaker", "started_ms", "text")})
    return list(found.values())


def _call_id(request: web.Request) -> str:
    call_id = request.match_info["call_id"]
    if not CALL_ID.fullmatch(call_id):
        raise _unknown()
    return call_id


def _query(request: web.Request) -> dict[str, str]:
    unknown = request.query.keys() - PARAMETERS
    if unknown:
        raise _invalid(min(unknown)[:MAX_PARAMETER_CHARS], f"none of {', '.join(sorted(PARAMETERS))}")
    for name, value in request.query.items():
        if len(value) > MAX_PARAMETER_CHARS or "\0" in value:
            raise _invalid(name, f"text of at most {MAX_PARAMETER_CHARS} characters")
    return {name: valid_text(value) for name, value in request.query.items()}


def _filters(query: Mapping[str, str]) -> Filters:
    for name, choices in CHOICES.items():
        if name in query and query[name] not in choices:
            raise _invalid(name, f"one of {', '.join(choices)}")
    chosen: dict[str, Any] = {name: query[name] for name in (*CHOICES, *TEXTS) if name in query}
    chosen |= {name: _number(query, name, TIME_DIGITS) for name in TIMES if name in query}
    return Filters(**chosen)


def _limit(query: Mapping[str, str]) -> int:
    limit = _number(query, "limit") if "limit" in query else DEFAULT_PAGE
    if not 1 <= limit <= MAX_PAGE:
        raise _invalid("limit", f"1 to {MAX_PAGE}")
    return limit


def _number(query: Mapping[str, str], name: str, digits: int = 18) -> int:
    text = query[name]
    if not re.fullmatch(f"[0-9]{{1,{digits}}}", text):
        raise _invalid(name, "a whole number")
    return int(text)


def _call_cursor(query: Mapping[str, str]) -> tuple[int, str] | None:
    if "before" not in query:
        return None
    at, _, call_id = query["before"].partition(".")
    if not re.fullmatch("[0-9]{1,15}", at) or not call_id:
        raise _invalid("before", "what an earlier page called next")
    return int(at), call_id


def _turn_cursor(query: Mapping[str, str]) -> int | None:
    return _number(query, "before") if "before" in query else None


def _invalid(name: str, wanted: str) -> OfferError:
    return OfferError(422, "invalid_parameter", f"The parameter {name} cannot be used: it must be {wanted}.")


def _unknown() -> OfferError:
    return OfferError(404, "unknown_call", "There is no such call in the history.")


def _json(value: object) -> web.Response:
    return web.json_response(value, headers=PRIVATE, dumps=partial(json.dumps, ensure_ascii=False))
