"""What a recording needs of Opus: the length of packets, fillers for missing ones, a stream's headers. Pure."""

from __future__ import annotations

import struct
from functools import cache

RATE_HZ = 48_000
FRAME_TICKS = 960  # gaps are filled in steps of 20 ms
QUIET = bytes([9 << 3])  # SILK, wideband, 20 ms, mono: the filler for a track without any packet yet

_SILK_TICKS = (480, 960, 1920, 2880)
_CELT_TICKS = (120, 240, 480, 960)


def frame_ticks(toc: int) -> int:
    """Return the length of one frame at 48 kHz from a packet's first byte (RFC 6716 section 3.1)."""
    configuration = toc >> 3
    if configuration < 12:
        return _SILK_TICKS[configuration & 3]
    if configuration < 16:
        return _SILK_TICKS[configuration & 1]
    return _CELT_TICKS[configuration & 3]


def filler(toc: int) -> bytes:
    """Return a packet that fills 20 ms without packets, in the mode of the packet that begins with ``toc``.

    It is one frame of length 0, which means lost or not sent (RFC 6716 section 3.2.1). A decoder conceals it, then
    fades out; a reader that ignores timestamps still counts 20 ms.
    """
    configuration = toc >> 3
    if configuration < 12:
        configuration = configuration & ~3 | 1
    elif configuration < 16:
        configuration |= 1
    else:
        configuration |= 3
    return bytes([configuration << 3 | toc & 4])


def mono_head(pre_skip: int) -> bytes:
    """Return the header of a mono stream (RFC 7845 section 5.1).

    Args:
        pre_skip: the decoder's delay in samples at 48 kHz.
    """
    return b"OpusHead" + struct.pack("<BBHIhB", 1, 1, pre_skip, RATE_HZ, 0, 0)


def ogg_file(head: bytes, packet: bytes) -> bytes:
    """Return an Ogg file with one packet of 20 ms (RFC 7845), from which FFmpeg reads a stream's headers.

    Args:
        head: the stream's header.
        packet: the packet, less than 255 bytes.
    """
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    packets = (head, 2, 0), (tags, 0, 0), (packet, 4, FRAME_TICKS)
    return b"".join(_page(data, flags, granule, number) for number, (data, flags, granule) in enumerate(packets))


def _page(packet: bytes, flags: int, granule: int, number: int) -> bytes:
    """Return an Ogg page with one packet of less than 255 bytes (RFC 3533 section 6)."""
    head = struct.pack("<4sBBqIIIBB", b"OggS", 0, flags, granule, 1, number, 0, 1, len(packet))
    page = head + packet
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(data: bytes) -> int:
    checksum, table = 0, _checksums()
    for byte in data:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ table[checksum >> 24 ^ byte]
    return checksum


@cache
def _checksums() -> tuple[int, ...]:
    """Return the table for Ogg's CRC: polynomial 0x04c11db7, most significant bit first, initial value 0."""
    table = []
    for byte in range(256):
        checksum = byte << 24
        for _ in range(8):
            checksum = checksum << 1 ^ (0x104C11DB7 if checksum & 0x80000000 else 0)
        table.append(checksum)
    return tuple(table)
