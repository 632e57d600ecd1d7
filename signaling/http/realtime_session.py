"""Sessions, as OpenAI's API writes them, that come over HTTP: with an offer, or for a client secret. Untrusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.errors import OfferError
from agent.settings import Settings
from agent.unicode import read_json
from signaling.dialects.openai.session import NO_WISH, SessionWish, read_session
from signaling.http.tickets import Ticket
from signaling.webrtc.offer import CallOptions

MAX_SESSION_BYTES = 64 << 10


def read_session_part(part: bytes) -> SessionWish:
    """Read the part ``session`` of a form.

    Raises:
        OfferError: 422.
    """
    try:
        session = read_json(part)
    except ValueError:
        session = None
    return wish_of(session)


def wish_of(session: object) -> SessionWish:
    """Return what a session asks for; unlike on the data channel, nothing in it may be impossible.

    Raises:
        OfferError: 422.
    """
    if not isinstance(session, dict):
        raise OfferError(422, "invalid_session", "session must be a JSON object.")
    wish = read_session(session)
    if wish.objections:
        first = wish.objections[0]
        raise OfferError(422, "session_unsupported", f"session.{first.param}: {first.words}.")
    return wish


def want_leave(wish: SessionWish, settings: Settings, *, has_key: bool) -> None:
    """Accept a session that instructs the agent only with the server key, or if the operator lets clients do so.

    Raises:
        OfferError: 403.
    """
    instructs = wish.instructs()
    if instructs and not has_key and not settings.client_may_instruct:
        detail = f"session: {', '.join(instructs)}: this requires the server key, or client_may_instruct."
        raise OfferError(403, "not_allowed", detail)


def with_session(options: CallOptions, ticket: Ticket | None, own: SessionWish) -> CallOptions:
    """Return the options of a call with what its client secret says, and then what came with its offer.

    Args:
        options: the options so far.
        ticket: the client secret; None if there was none.
        own: what came with the offer.
    """
    granted = NO_WISH if ticket is None else read_session(ticket.session)
    wish = SessionWish(
        granted.instructions if own.instructions is None else own.instructions,
        granted.tools if own.tools is None else own.tools,
        {**granted.settings, **own.settings},
        granted.transcribes if own.transcribes is None else own.transcribes,
    )
    settings: Mapping[str, Any] = wish.settings
    if wish.instructions is not None:
        settings = {**settings, "system_instruction": wish.instructions}
    if ticket is not None:
        options = replace(options, caller=ticket.caller, metadata=ticket.metadata, ticket_id=ticket.ticket_id)
    return replace(options, settings=settings, wish=None if wish == NO_WISH else wish)
