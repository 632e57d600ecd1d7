"""Payloads of a caller's video, VP8 and H.264, as far as the picture that a key frame becomes.

A piece is a flag byte, a step of the sequence number, and the RTP payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial

import av
from aiortc.codecs import depayload
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from agent.errors import MediaError
from agent.media.keyframe import Assembler, Part, is_key_frame, starts_frame
from agent.media.video import EncodedFrame, look
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target

LAST, NEXT_FRAME = 1, 2
MAX_PX = 320


@contextmanager
def fresh(codec: str, *, decoded: bool) -> Iterator[Take]:
    parameters = RTCRtpCodecParameters(f"video/{codec.upper()}", 90_000)
    assembler = Assembler()
    sequence = timestamp = 0

    def take(piece: bytes) -> object:
        nonlocal sequence, timestamp
        how, step, payload = (*piece[:2].ljust(2, b"\0"), piece[2:])
        sequence, timestamp = (sequence + step) & 0xFFFF, timestamp + bool(how & NEXT_FRAME)
        data = b""
        with suppress(ValueError):  # aiortc drops the packet
            data = depayload(parameters, payload)
        first = starts_frame(codec, payload, data)
        whole = assembler.push(Part(sequence, timestamp, bool(how & LAST), first, data))
        if whole is None or not is_key_frame(codec, whole):
            return first, whole is None
        if not decoded:
            return first, "key frame"
        try:
            seen = look(EncodedFrame(codec, whole), MAX_PX, None, skip=True)
        except MediaError:
            return first, "unreadable"
        assert seen.jpeg is not None
        jpeg = seen.jpeg
        assert 1 <= max(jpeg.width, jpeg.height) <= MAX_PX
        assert jpeg.data[:2] == b"\xff\xd8"
        return first, jpeg.width, jpeg.height

    yield take


def frames(codec: str) -> list[Pieces]:
    """Return a key frame of each of some sizes, as aiortc sends it."""
    return [packets(codec, width, height) for width, height in ((64, 48), (320, 240), (16, 16))]


def packets(codec: str, width: int, height: int) -> Pieces:
    frame = av.VideoFrame(width, height, "yuv420p")
    for number, plane in enumerate(frame.planes):
        plane.update(bytes((index * (number + 3)) & 0xFF for index in range(plane.buffer_size)))
    frame.pts, frame.time_base = 0, Fraction(1, 90_000)
    encoder = Vp8Encoder() if codec == "vp8" else H264Encoder()
    payloads, _ = encoder.encode(frame, force_keyframe=True)
    count = len(payloads)
    return [bytes((LAST if number == count else 0, 1)) + each for number, each in enumerate(payloads, 1)]


def target(codec: str, *, decoded: bool) -> Target:
    return Target(
        f"{codec}-pictures" if decoded else codec,
        "bytes",
        partial(fresh, codec, decoded=decoded),
        more=partial(frames, codec),
        max_bytes=128 << 10,
        # Pictures are made in a thread of their own, which lets the loop go on.
        limit_s=0.25 if decoded else 0.05,
        quick=200 if decoded else 2000,
    )


TARGETS = [target(codec, decoded=decoded) for codec in ("vp8", "h264") for decoded in (False, True)]
