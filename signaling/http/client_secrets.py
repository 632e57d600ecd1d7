"""`POST /v1/realtime/client_secrets`: short-lived tokens for pages, made for a backend that has the server key."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from agent.clock import unix
from agent.errors import OfferError
from agent.settings import Settings
from signaling.http.access import Access
from signaling.http.bodies import read_json
from signaling.http.realtime_session import want_leave, wish_of
from signaling.http.tickets import Ticket
from signaling.http.tokens import authorise

PATH = "/v1/realtime/client_secrets"
DEFAULT_LIFE_S = 600
MIN_LIFE_S, MAX_LIFE_S = 10, 7200
MAX_CALLER_CHARS = 200
MAX_METADATA = 16
MAX_METADATA_CHARS = 512  # of a name or a value


def routes(settings: Settings, access: Access) -> list[web.RouteDef]:
    """Return the route that makes client secrets."""

    async def create(request: web.Request) -> web.Response:
        authorise(request, settings)
        body = await read_json(request) if request.can_read_body else {}
        wish = wish_of(body.get("session", {}))
        want_leave(wish, settings, has_key=settings.server_key is not None)
        ticket = read_ticket(body, unix(), secrets.token_urlsafe(12))
        session = {**ticket.session, "type": "realtime", "object": "realtime.session", "model": settings.model}
        told = {"value": access.tickets.sign(ticket), "expires_at": ticket.expires_at, "session": session}
        return web.json_response(told, headers={"Cache-Control": "no-store"})

    return [web.post(PATH, create)]


def read_ticket(body: Mapping[str, Any], now: float, ticket_id: str) -> Ticket:
    """Return the ticket that an untrusted body asks for.

    Args:
        body: the request's JSON; what it says of ``session`` was checked.
        now: Unix time in seconds.
        ticket_id: names the ticket.

    Raises:
        OfferError: 422.
    """
    caller = body.get("caller")
    if caller is not None and (not isinstance(caller, str) or not 0 < len(caller) <= MAX_CALLER_CHARS):
        raise _invalid("caller", f"must be a text of 1 to {MAX_CALLER_CHARS} characters")
    return Ticket(
        ticket_id, int(now) + _life_s(body.get("expires_after")), caller, _metadata(body), body.get("session", {})
    )


def _life_s(given: object) -> int:
    if given is None:
        return DEFAULT_LIFE_S
    seconds = given.get("seconds", DEFAULT_LIFE_S) if isinstance(given, dict) else None
    if type(seconds) is not int or not MIN_LIFE_S <= seconds <= MAX_LIFE_S:
        raise _invalid("expires_after.seconds", f"must be a whole number of {MIN_LIFE_S} to {MAX_LIFE_S}")
    return seconds


def _metadata(body: Mapping[str, Any]) -> dict[str, str]:
    given = body.get("metadata")
    if given is None:
        return {}
    if not isinstance(given, dict) or len(given) > MAX_METADATA:
        raise _invalid("metadata", f"must be an object with at most {MAX_METADATA} texts")
    if not all(
        isinstance(value, str) and max(len(name), len(value)) <= MAX_METADATA_CHARS for name, value in given.items()
    ):
        raise _invalid("metadata", f"names and values must be texts of at most {MAX_METADATA_CHARS} characters")
    return given


def _invalid(param: str, words: str) -> OfferError:
    return OfferError(422, "invalid_client_secret_request", f"{param}: {words}.")
