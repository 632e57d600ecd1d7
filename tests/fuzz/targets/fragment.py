"""A trickle fragment: its candidates can be read by aiortc."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiortc.rtcicetransport import candidate_to_aioice
from aiortc.sdp import candidate_from_sdp

from agent.errors import OfferError
from signaling.http.problem import MAX_BODY_BYTES
from signaling.webrtc.trickle import parse_fragment
from tests.fuzz.target import Take, Target, text_files


@contextmanager
def fresh() -> Iterator[Take]:
    yield take


def take(data: bytes) -> object:
    fragment = parse_fragment(data.decode(errors="replace"))
    for trickled in fragment.candidates:
        candidate_to_aioice(candidate_from_sdp(trickled.candidate.removeprefix("candidate:")))
    return min(len(fragment.candidates), 9), fragment.ufrag is None, fragment.end_of_candidates


TARGET = Target(
    "fragment",
    "lines",
    fresh,
    expected=(OfferError,),
    more=lambda: text_files("offers"),
    joined=b"\n",
    max_bytes=MAX_BODY_BYTES,
)
