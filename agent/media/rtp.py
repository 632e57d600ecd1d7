"""RTP packets as bytes (RFC 3550 section 5.1): as much of them as a stream of voice needs. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!BBHII")
_LENGTH = struct.Struct("!H")  # of the header extension, in words
HEADER_BYTES = _HEADER.size


class RtpPacket(NamedTuple):
    """One packet, without its padding and what is optional in its header."""

    payload_type: int
    marker: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Read a packet, untrusted; None if it is none."""
    if len(data) < HEADER_BYTES:
        return None
    flags, kind, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    start, end = HEADER_BYTES + 4 * (flags & 0x0F), len(data)
    if flags & 0x10:
        if end < start + 4:
            return None
        start += 4 + 4 * _LENGTH.unpack_from(data, start + 2)[0]
    if flags & 0x20:
        end -= data[-1] or end  # padding is never 0 long: it counts its own length
    if flags >> 6 != 2 or end < start:
        return None
    return RtpPacket(kind & 0x7F, kind >> 7, sequence_number, timestamp, ssrc, data[start:end])
