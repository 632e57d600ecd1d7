"""Read trickle ICE fragments (RFC 8840 section 9). Pure; they are untrusted text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import OfferError
from signaling.webrtc.sdp import description_lines, usable_candidate


@dataclass(frozen=True, slots=True)
class TrickledCandidate:
    """A candidate from a trickle fragment.

    Attributes:
        mid: the media section that it belongs to; None for the first.
        candidate: ``candidate:`` and the value that `usable_candidate` returns.
    """

    mid: str | None
    candidate: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """An ``application/trickle-ice-sdpfrag`` (RFC 8840 section 9).

    Attributes:
        ufrag: identifies the ICE generation that it belongs to; None if it does not say.
        candidates: the usable candidates.
        end_of_candidates: True if no more will come.
    """

    ufrag: str | None
    candidates: tuple[TrickledCandidate, ...]
    end_of_candidates: bool


def parse_fragment(text: str) -> Fragment:
    """Parse an untrusted trickle fragment.

    Raises:
        OfferError: 400, it is not a trickle fragment.
    """
    ufrag: str | None = None
    candidates: list[TrickledCandidate] = []
    ended = known = False
    for mid, line in _with_mids(text):
        name, _, value = line.removeprefix("a=").partition(":")
        if name == "ice-ufrag":
            ufrag = value
        elif name == "candidate" and (candidate := usable_candidate(value)):
            candidates.append(TrickledCandidate(mid, f"candidate:{candidate}"))
        elif name == "end-of-candidates":
            ended = True
        known = known or name in ("ice-ufrag", "candidate", "end-of-candidates")
    if not known:
        raise OfferError(400, "invalid_sdp_fragment", "The body is not a trickle ICE SDP fragment.")
    return Fragment(ufrag, tuple(candidates), ended)


def _with_mids(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield each line with the mid of its section."""
    mid: str | None = None
    for line in description_lines(text):
        if line.startswith("m="):
            mid = None
        elif line.startswith("a=mid:"):
            mid = line[len("a=mid:") :].strip()
        yield mid, line
