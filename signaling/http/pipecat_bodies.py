"""Read what Pipecat's clients send over HTTP: untrusted JSON objects, already decoded. Pure.

The names are those of `@pipecat-ai/small-webrtc-transport` 1.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.errors import OfferError
from signaling.webrtc.sdp import usable_candidate
from signaling.webrtc.trickle import Fragment, TrickledCandidate

MAX_CANDIDATES = 200
MAX_ID_CHARS = 128


@dataclass(frozen=True, slots=True)
class PipecatOffer:
    """An offer of a Pipecat client.

    Attributes:
        sdp: untrusted.
        pc_id: the call that it belongs to; None for a new call.
        restart_pc: it comes from a new peer connection, which is to take the place of the call's present one.
    """

    sdp: str
    pc_id: str | None
    restart_pc: bool


def read_pipecat_offer(body: dict[str, Any]) -> PipecatOffer:
    """Read the body of ``POST /api/offer``.

    Raises:
        OfferError: 422.
    """
    sdp, kind, pc_id = body.get("sdp"), body.get("type", "offer"), body.get("pc_id")
    if not isinstance(sdp, str) or not sdp or kind != "offer":
        raise OfferError(
            422, "invalid_offer", 'The body needs "sdp", a text that is not empty, and "type": "offer".'
        )
    return PipecatOffer(sdp, None if pc_id in (None, "") else _id(pc_id), body.get("restart_pc") is True)


def read_pipecat_candidates(body: dict[str, Any]) -> tuple[str, Fragment]:
    """Read the body of ``PATCH /api/offer``.

    Candidates that cannot be used are left out, as those of a trickle fragment are.

    Returns:
        The id of the call, and its candidates.

    Raises:
        OfferError: 422.
    """
    given = body.get("candidates")
    if not isinstance(given, list) or len(given) > MAX_CANDIDATES:
        detail = f'The body needs "candidates", a list of at most {MAX_CANDIDATES}.'
        raise OfferError(422, "invalid_candidates", detail)
    texts = [each for each in given if isinstance(each, dict) and isinstance(each.get("candidate"), str)]
    ended = any(not each["candidate"] for each in texts)
    candidates = []
    for each in texts:
        mid = each.get("sdp_mid")
        usable = usable_candidate(each["candidate"].removeprefix("candidate:"))
        if usable and (mid is None or isinstance(mid, str)):
            candidates.append(TrickledCandidate(mid, f"candidate:{usable}"))
    return _id(body.get("pc_id")), Fragment(None, tuple(candidates), ended)


def _id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARS:
        raise OfferError(422, "invalid_pc_id", f'"pc_id" must be a text of 1 to {MAX_ID_CHARS} characters.')
    return value
