"""An RTP packet: our parser takes it as aiortc's does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiortc.rtp

from agent.media.rtp import HEADER_BYTES, parse_rtp
from agent.media.tap.guard import MALFORMED
from tests.fuzz.target import Take, Target

HEADER = bytes((0x80, 111, 0, 1, 0, 0, 3, 192, 1, 2, 3, 4))


@contextmanager
def fresh() -> Iterator[Take]:
    yield take


def take(data: bytes) -> object:
    ours = parse_rtp(data)
    try:
        theirs = aiortc.rtp.RtpPacket.parse(data)
    except MALFORMED as error:
        # What they refuse beside what we do is in header extensions and sources, which we do not look at.
        return type(error).__name__, ours is None, len(data) < HEADER_BYTES
    assert ours is not None
    assert (ours.payload_type, ours.marker) == (theirs.payload_type, theirs.marker)
    assert (ours.sequence_number, ours.timestamp, ours.ssrc) == (
        theirs.sequence_number,
        theirs.timestamp,
        theirs.ssrc,
    )
    assert ours.payload == theirs.payload
    return data[0] & 0xF0, len(theirs.csrc), len(ours.payload) > 0


TARGET = Target(
    "rtp",
    "bytes",
    fresh,
    more=lambda: (
        [HEADER],
        [HEADER + bytes(20)],
        [b"\xa0" + HEADER[1:] + bytes(16) + b"\x00\x00\x00\x04"],
        [b"\x92" + HEADER[1:] + bytes(8) + b"\xbe\xde\x00\x01\x10\x30\x00\x00" + bytes(9)],
    ),
    max_bytes=2000,
    quick=5000,
)
