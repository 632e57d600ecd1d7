"""Key frames become JPEGs: sizes, colours, corrupt data, and what counts as unchanged."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.emulator.model.picture import picture_size
from agent.errors import MediaError
from agent.media.keyframe import is_key_frame
from agent.media.video import EncodedFrame, decode_key_frame, differ, encode_jpeg, fitting, look, thumbnail
from tests.support.pictures import BLUE, GREEN, RED, Rgb, decoded_jpeg, encoded, key_frame, plain, scene

pytestmark = pytest.mark.slow

CODECS = ["vp8", "h264"]


def seen(codec: str, picture: Rgb, bit_rate: int = 1_000_000) -> av.VideoFrame:
    """Return a picture as it arrives."""
    return decode_key_frame(EncodedFrame(codec, key_frame(codec, picture, bit_rate=bit_rate)))


def changed(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    return differ(thumbnail(one), thumbnail(other))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((1280, 720), (768, 432)),
        ((720, 1280), (432, 768)),  # portrait
        ((322, 242), (322, 242)),
        ((1022, 766), (768, 576)),
        ((16, 16), (16, 16)),
    ],
)
def test_a_key_frame_becomes_a_jpeg(codec: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    looked = look(EncodedFrame(codec, key_frame(codec, plain(*size, GREEN))), 768, None, True)
    assert looked.jpeg is not None
    width, height, data = looked.jpeg.width, looked.jpeg.height, looked.jpeg.data
    assert (width, height) == expected == picture_size(data)
    assert np.abs(decoded_jpeg(data).astype(int) - GREEN).max() < 12, "colours and range are kept"


@pytest.mark.parametrize("size", [(641, 479), (33, 35), (1279, 719)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    """VP8 has them; H.264 in 4:2:0 crops by two pixels only."""
    looked = look(EncodedFrame("vp8", key_frame("vp8", plain(*size, BLUE))), 768, None, True)
    assert looked.jpeg is not None
    assert picture_size(looked.jpeg.data) == fitting(*size, 768)
    assert np.abs(decoded_jpeg(looked.jpeg.data).astype(int) - BLUE).max() < 12


def test_scaling_keeps_the_shape_and_never_enlarges() -> None:
    assert fitting(640, 480, 768) == (640, 480)
    assert fitting(1920, 1080, 768) == (768, 432)
    assert fitting(1080, 1920, 768) == (432, 768)
    assert fitting(4096, 1, 768) == (768, 1)


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (4000, 2)])
def test_jpegs_of_strange_shapes(size: tuple[int, int]) -> None:
    frame = av.VideoFrame.from_ndarray(plain(*size), "rgb24").reformat(format="yuv420p")
    jpeg = encode_jpeg(frame, 768)
    width, height, data = jpeg.width, jpeg.height, jpeg.data
    assert picture_size(data) == (width, height) == fitting(*size, 768)


def test_the_picture_is_good_and_not_large() -> None:
    picture = scene(640, 480, noise=3)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
    data = encode_jpeg(frame, 768).data
    assert len(data) < 45_000
    source = frame.to_ndarray(format="rgb24").astype(float)
    error = np.mean((decoded_jpeg(data).astype(float) - source) ** 2)
    assert 10 * np.log10(255**2 / error) > 33


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_that_is_no_key_frame_is_refused(codec: str) -> None:
    delta = encoded(codec, [scene(320, 240, noise=4, seed=seed) for seed in range(2)])[1]
    with pytest.raises(MediaError):
        decode_key_frame(EncodedFrame(codec, delta))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "data", [b"", b"\0", bytes(100), b"\0\0\0\1\x65", b"\0\0\0\1\x67\xff\xff\0\0\0\1\x65\xff\xff"]
)
def test_rubbish_is_refused(codec: str, data: bytes) -> None:
    with pytest.raises(MediaError):
        look(EncodedFrame(codec, data), 768, None, True)


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_corrupt_key_frames_do_no_harm(codec: str, data: st.DataObject) -> None:
    """Whatever was done to a key frame, there is a picture or a MediaError."""
    frame = bytearray(GOOD[codec])
    for _ in range(data.draw(st.integers(1, 6))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    try:
        looked = look(EncodedFrame(codec, bytes(frame[: cut or None])), 768, None, True)
    except MediaError:
        return
    assert looked.jpeg is not None
    assert max(looked.jpeg.width, looked.jpeg.height) <= 768


GOOD = {codec: key_frame(codec, scene(64, 48, noise=5)) for codec in CODECS}


def test_a_huge_picture_is_refused_before_memory_is_taken() -> None:
    frame = bytearray(key_frame("vp8", plain(64, 48)))
    frame[6:10] = struct.pack("<HH", 16_383, 16_383)
    assert is_key_frame("vp8", bytes(frame))
    with pytest.raises(MediaError):
        decode_key_frame(EncodedFrame("vp8", bytes(frame)))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bit_rate", [500_000, 2_000_000])
def test_the_same_scene_through_a_noisy_camera_is_unchanged(codec: str, bit_rate: int) -> None:
    one, other = (seen(codec, scene(640, 480, noise=4, seed=seed), bit_rate) for seed in (1, 2))
    assert not changed(one, other)


@pytest.mark.parametrize("codec", CODECS)
def test_what_moves_is_a_change(codec: str) -> None:
    before, after = scene(640, 480, noise=4, seed=1), scene(640, 480, noise=4, seed=2)
    after[200:260, 500:560] = 230  # a hand, a tenth of the height
    assert changed(seen(codec, before), seen(codec, after))


@pytest.mark.parametrize("codec", CODECS)
def test_a_word_on_a_shared_screen_is_a_change(codec: str) -> None:
    before = np.full((1080, 1920, 3), 250, np.uint8)
    after = before.copy()
    for letter in range(5):  # strokes of a 16 px font
        after[500:514, 900 + 10 * letter : 903 + 10 * letter] = 20
        after[506:509, 900 + 10 * letter : 907 + 10 * letter] = 20
    assert changed(seen(codec, before), seen(codec, after))


def test_a_colour_of_the_same_brightness_is_a_change() -> None:
    one, other = plain(320, 240, (150, 80, 80)), plain(320, 240, (80, 113, 88))
    luma = np.array([0.299, 0.587, 0.114])
    assert abs(float((one[0, 0] - other[0, 0].astype(float)) @ luma)) < 2
    assert changed(seen("vp8", one), seen("vp8", other))


def test_an_unchanged_picture_is_left_out_only_if_wished() -> None:
    frame = EncodedFrame("vp8", key_frame("vp8", scene(320, 240)))
    first = look(frame, 768, None, True)
    assert first.thumbnail is not None
    again = look(frame, 768, first.thumbnail, True)
    assert again.jpeg is None
    assert again.thumbnail is first.thumbnail, "compared with what was sent, so that slow changes add up"
    other = look(EncodedFrame("vp8", key_frame("vp8", plain(320, 240, RED))), 768, first.thumbnail, True)
    assert other.jpeg is not None
    unskipped = look(frame, 768, None, False)
    assert unskipped.jpeg is not None
    assert unskipped.thumbnail is None
