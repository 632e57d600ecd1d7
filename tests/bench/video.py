"""A camera: 640x480 at 30 frames a second, encoded once, sent for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from time import monotonic
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

WIDTH, HEIGHT, FRAMES_PER_S = 640, 480, 30
BITRATE_BPS = 800_000
CLIPS, CLIP_FRAMES = 6, 45
CLOCK_HZ = 90_000


@lru_cache(maxsize=1)
def clips() -> list[list[bytes]]:
    """Return some clips of 1.5 s of VP8: a textured room with something that moves, each in another room.

    Only the first frame of each is a key frame. The rooms differ, because a picture that looks like the one before
    costs a service less if it says so.
    """
    return [_clip(np.random.default_rng(seed)) for seed in range(CLIPS)]


def _clip(rng: np.random.Generator) -> list[bytes]:
    codec = av.CodecContext.create("libvpx", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.bit_rate = BITRATE_BPS
    codec.gop_size = 3000
    codec.time_base = Fraction(1, FRAMES_PER_S)
    codec.options = {"cpu-used": "-6", "deadline": "realtime", "lag-in-frames": "0"}
    room = np.kron(rng.integers(40, 200, (HEIGHT // 16, WIDTH // 16)), np.ones((16, 16))).astype(np.uint8)
    face = rng.integers(90, 220, (160, 120)).astype(np.uint8)
    encoded = []
    for index in range(CLIP_FRAMES):
        luma = room.copy()
        left = int(260 + 120 * np.sin(index / CLIP_FRAMES * 2 * np.pi))
        luma[160:320, left : left + 120] = face
        grey = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(np.vstack((luma, grey)), format="yuv420p")
        frame.pts = index
        encoded.append(b"".join(bytes(packet) for packet in codec.encode(frame)))
    return encoded


class Camera(MediaStreamTrack):
    """Send one clip after the other, off at first; goes on to the next when the receiver asks for a key frame."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._frames: Iterator[bytes] = iter(())
        self._clip = 0
        self._due = 0.0
        self._on = asyncio.Event()

    def turn_on(self) -> None:
        """Begin to send, with a key frame."""
        self._begin_anew()
        self._due = monotonic()
        self._on.set()

    def turn_off(self) -> None:
        """Send nothing until it is turned on again."""
        self._on.clear()

    def obey(self, sender: RTCRtpSender) -> None:
        """Answer the receiver's requests for a key frame.

        aiortc forces one out of its own encoder only; for packets that came encoded, the harness replaces the
        private method of this one sender.
        """
        sender._send_keyframe = self._begin_anew  # type: ignore[method-assign]

    async def recv(self) -> av.Packet[Any]:
        """Return the next frame when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._on.wait()
        self._due += 1 / FRAMES_PER_S
        await asyncio.sleep(max(0.0, self._due - monotonic()))
        frame = next(self._frames, None)
        if frame is None:
            self._begin_anew()
            frame = next(self._frames)
        packet: av.Packet[Any] = av.Packet(frame)
        packet.pts = int(self._due * CLOCK_HZ)
        packet.time_base = Fraction(1, CLOCK_HZ)
        return packet

    def _begin_anew(self) -> None:
        self._clip = (self._clip + 1) % CLIPS
        self._frames = iter(clips()[self._clip])
