"""Check the type and size of pictures that clients send as files. Pure; the input is untrusted."""

from __future__ import annotations

import struct

from agent.errors import MediaError
from agent.picture import Picture

MAX_STILL_BYTES = 4 << 20
MAX_STILL_PX = 4096
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of the segments that contain the size


def read_still(data: bytes) -> Picture:
    """Read a picture's header only; decoding the rest is up to the model.

    Raises:
        MediaError: it is neither a JPEG nor a PNG, or too large.
    """
    if len(data) > MAX_STILL_BYTES:
        raise MediaError(f"a picture is larger than {MAX_STILL_BYTES >> 20} MiB")
    mime_type, size = ("image/png", _png_size(data)) if data.startswith(_PNG) else ("image/jpeg", _jpeg_size(data))
    if size is None:
        raise MediaError("a picture is neither a JPEG nor a PNG")
    if not 1 <= min(size) <= max(size) <= MAX_STILL_PX:
        raise MediaError(f"a picture has {size[0]}x{size[1]} pixels; each side must have 1 to {MAX_STILL_PX}")
    return Picture(data, mime_type, *size)


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 33 or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return int(width), int(height)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Skip segments until the one that describes the frame."""
    at = 2 if data.startswith(_JPEG) else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(width), int(height)
        at += 1 if marker == 0xFF else 2 + max(2, int(struct.unpack_from(">H", data, at + 2)[0]))
    return None
