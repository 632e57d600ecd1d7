"""Parse RTP packets (RFC 3550 section 5.1), as far as a voice stream needs it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

_HEADER = struct.Struct("!BBHII")
_EXTENSION_WORDS = struct.Struct("!H")
HEADER_BYTES = _HEADER.size


OnAudio = Callable[[str, float, int, int, bytes], None]
"""Takes an audio packet for a recording: the codec in lower case, when it came or was sent (monotonic seconds), its
RTP timestamp, its length on the RTP clock, and the payload."""


def difference16(later: int, earlier: int) -> int:
    """Return by how much a sequence number is later than another, or with a minus sign earlier (RFC 1982)."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def difference32(later: int, earlier: int) -> int:
    """Return by how much a timestamp is later than another, or with a minus sign earlier (RFC 1982)."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class RtpPacket(NamedTuple):
    """One packet, without padding and without the optional parts of its header."""

    payload_type: int
    marker: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Parse an untrusted packet; return None if it is malformed."""
    if len(data) < HEADER_BYTES:
        return None
    flags, kind, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    start, end = HEADER_BYTES + 4 * (flags & 0x0F), len(data)
    if flags & 0x10:
        if end < start + 4:
            return None
        start += 4 + 4 * _EXTENSION_WORDS.unpack_from(data, start + 2)[0]
    if flags & 0x20:
        end -= data[-1] or end  # a padding length of 0 is invalid, because it includes its own byte
    if flags >> 6 != 2 or end < start:
        return None
    return RtpPacket(kind & 0x7F, kind >> 7, sequence_number, timestamp, ssrc, data[start:end])
