"""Pictures from outside are what they say, or are refused."""

from __future__ import annotations

import struct

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MediaError
from agent.media.still import MAX_STILL_BYTES, MAX_STILL_PX, read_still
from agent.media.video import encode_jpeg
from tests.support.pictures import RED, plain

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(width: int, height: int) -> bytes:
    return SIGNATURE + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", width, height, 8, 2, 0, 0, 0, 0)


def test_a_jpeg_and_a_png() -> None:
    jpeg = encode_jpeg(av.VideoFrame.from_ndarray(plain(320, 240, RED), "rgb24"), 768)
    still = read_still(jpeg.data)
    assert (still.mime_type, still.width, still.height, still.data) == (
        "image/jpeg",
        jpeg.width,
        jpeg.height,
        jpeg.data,
    )
    still = read_still(png(64, 48))
    assert (still.mime_type, still.width, still.height) == ("image/png", 64, 48)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00" + bytes(20),
        b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x00\x00\x00",
        SIGNATURE,
        SIGNATURE + bytes(40),
        png(0, 48),
        png(MAX_STILL_PX + 1, 48),
        png(64, 48) + bytes(MAX_STILL_BYTES),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        read_still(data)


@given(st.sampled_from([b"", b"\xff\xd8\xff", SIGNATURE]), st.binary(max_size=200))
def test_no_bytes_are_too_odd(begin: bytes, rest: bytes) -> None:
    try:
        still = read_still(begin + rest)
    except MediaError:
        return
    assert 1 <= still.width <= MAX_STILL_PX
    assert 1 <= still.height <= MAX_STILL_PX
