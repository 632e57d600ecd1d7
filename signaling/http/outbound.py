"""Calls that the service makes: `POST /v1/calls`, and their state."""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from typing import Any

from aiohttp import web

from agent import events
from agent.errors import OfferError, ToolError
from agent.settings import Settings
from signaling.http.bodies import read_json
from signaling.http.info import call_state
from signaling.http.tokens import authorise
from signaling.phone.caller_id import MAX_HEADERS, MAX_TEXT
from signaling.phone.sip_call import SipCall
from signaling.phone.sip_line import SipLine
from signaling.phone.telephone import address
from signaling.process.audit import DIALLED
from signaling.webrtc.calls import Calls

PATH = "/v1/calls"
AGENT = "default"  # the only name yet; clients that send it need not change later
MAX_REMEMBERED = 256
MAX_INSTRUCTION_CHARS = 8_000
_HEADER_NAME = re.compile(r"[Xx]-[A-Za-z0-9-]{1,64}")


def routes(settings: Settings, line: SipLine, calls: Calls) -> list[web.RouteDef]:
    """Return the routes of the calls that the service makes."""
    made: dict[str, SipCall] = {}
    over: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def note_end(call_id: str, event: events.Event) -> None:
        if isinstance(event, events.CallEnded):
            ended = {"state": "ended", "reason": event.reason, "detail": event.detail}
            over[call_id] = _state(call_id, made.pop(call_id)) | ended
            if len(over) > MAX_REMEMBERED:
                over.popitem(last=False)

    async def create(request: web.Request) -> web.Response:
        authorise(request, settings)
        body = await read_json(request)
        to, instruction, headers = _wish(body, line.domain)
        request[DIALLED] = to
        traceparent = request.headers.get("traceparent", "")
        call = await line.dial(
            to, instruction=instruction, headers=headers, record=_record(body), traceparent=traceparent
        )
        assert call.leg is not None
        call_id = call.leg.call.call_id
        made[call_id] = call
        call.leg.call.observe(partial(note_end, call_id))
        return web.json_response(_state(call_id, call), status=201, headers={"Location": f"{PATH}/{call_id}"})

    async def show(request: web.Request) -> web.Response:
        authorise(request, settings)
        call_id = request.match_info["call_id"]
        if call_id in over:
            return web.json_response(over[call_id])
        if call_id in made:
            return web.json_response(_state(call_id, made[call_id]))
        return web.json_response(call_state(calls.get(call_id)))

    async def hang_up(request: web.Request) -> web.Response:
        authorise(request, settings)
        calls.hang_up(request.match_info["call_id"], "The operator hung up.", "operator")
        return web.Response(status=200)

    return [
        web.post(PATH, create),
        web.get(f"{PATH}/{{call_id}}", show),
        web.delete(f"{PATH}/{{call_id}}", hang_up),
    ]


def _state(call_id: str, call: SipCall) -> dict[str, Any]:
    leg = call.leg
    assert leg is not None
    return {"id": call_id, "to": call.caller_id.callee, "state": call.state, **call_state(leg)}


def _wish(body: dict[str, Any], domain: str) -> tuple[str, str, dict[str, str]]:
    """Return the SIP address, the instruction and the headers in a request."""
    unknown = sorted(body.keys() - {"to", "agent", "instruction", "headers", "record"})
    if unknown:
        raise OfferError(
            400, "unknown_field", f"There is no field {unknown[0]}: use to, agent, instruction, headers, record."
        )
    if body.get("agent", AGENT) != AGENT:
        raise OfferError(422, "unknown_agent", f"This service has one agent; its name is {AGENT}.")
    instruction, headers = body.get("instruction", ""), body.get("headers", {})
    if not isinstance(instruction, str) or len(instruction) > MAX_INSTRUCTION_CHARS:
        raise OfferError(
            422,
            "invalid_instruction",
            f"instruction must be a string of at most {MAX_INSTRUCTION_CHARS} characters.",
        )
    try:
        return address(str(body.get("to", "")), domain), instruction, _headers(headers)
    except ToolError as error:
        raise OfferError(422, "invalid_to", f"to: {error}.") from None


def _record(body: dict[str, Any]) -> bool | None:
    record = body.get("record")
    if record is not None and not isinstance(record, bool):
        raise OfferError(422, "invalid_record", "record must be true or false.")
    return record


def _headers(headers: Any) -> dict[str, str]:
    """Return custom headers, if none of them could become another header.

    Raises:
        OfferError: 422.
    """
    if isinstance(headers, dict) and len(headers) <= MAX_HEADERS and all(map(_is_header, headers.items())):
        return dict(headers)
    raise OfferError(422, "invalid_headers", "headers must be an object with X-... names and one-line strings.")


def _is_header(header: tuple[str, Any]) -> bool:
    name, value = header
    one_line = isinstance(value, str) and value.isprintable() and len(value) <= MAX_TEXT
    return one_line and _HEADER_NAME.fullmatch(name) is not None
