"""Pictures, key frames and a camera to test with, and what became of their pictures."""

from __future__ import annotations

import asyncio
from collections import Counter
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from agent.media.video import encode_jpeg
from signaling.client.caller import Caller

Rgb = NDArray[np.uint8]

SIZE = (320, 240)
"Of what `Show` sends."
RED, GREEN, BLUE = (200, 30, 30), (30, 180, 40), (30, 40, 200)


def plain(width: int, height: int, colour: tuple[int, int, int] = RED) -> Rgb:
    """Return one colour, shape ``(height, width, 3)``."""
    picture: Rgb = np.tile(np.array(colour, np.uint8), (height, width, 1))
    return picture


def scene(width: int, height: int, *, noise: float = 0.0, seed: int = 0) -> Rgb:
    """Return something like a camera's picture: shades, edges, and noise of that standard deviation."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(float)
    picture[height // 3 : height // 2, width // 4 : width // 2] = 20
    picture += np.random.default_rng(seed).normal(0, noise, picture.shape) if noise else 0
    clipped: Rgb = np.clip(picture, 0, 255).astype(np.uint8)
    return clipped


def encoded(codec: str, pictures: list[Rgb], *, bit_rate: int = 1_000_000) -> list[bytes]:
    """Encode pictures as aiortc does; the first becomes a key frame, H.264 as Annex B."""
    height, width, _ = pictures[0].shape
    context = av.CodecContext.create({"vp8": "libvpx", "h264": "libx264"}[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30, 1)
    context.bit_rate = bit_rate
    if codec == "vp8":
        context.options = {"deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0"}
    else:
        context.options = {"tune": "zerolatency", "level": "31"}
        context.profile = "Baseline"
    frames = []
    for pts, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
        frame.pts = pts
        frames.append(b"".join(bytes(packet) for packet in context.encode(frame)))
    return frames


def key_frame(codec: str, picture: Rgb, *, bit_rate: int = 1_000_000) -> bytes:
    """Encode one picture."""
    return encoded(codec, [picture], bit_rate=bit_rate)[0]


def decoded_jpeg(data: bytes) -> Rgb:
    """Decode a JPEG to RGB."""
    context = av.CodecContext.create("mjpeg", "r")
    assert isinstance(context, av.VideoCodecContext)
    frame = (context.decode(av.Packet(data)) or context.decode(None))[0]
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def blue_jpeg(width: int, height: int) -> bytes:
    """Encode one colour as the service does."""
    return encode_jpeg(av.VideoFrame.from_ndarray(plain(width, height, BLUE), "rgb24"), 768).data


class Show(MediaStreamTrack):
    """A synthetic camera: one colour, with a white square that wanders unless ``still``."""

    kind = "video"

    def __init__(self, colour: tuple[int, int, int], fps: int, *, still: bool = False) -> None:
        super().__init__()
        self.sent_frames = 0
        self._picture = plain(*SIZE, colour)
        self._fps = fps
        self._still = still
        self._started: float | None = None

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._started is None:
            self._started = loop.time()
        await asyncio.sleep(max(0.0, self._started + self.sent_frames / self._fps - loop.time()))
        picture = self._picture
        if not self._still:
            picture = picture.copy()
            at = self.sent_frames * 60 // self._fps % (SIZE[0] - 40)
            picture[100:140, at : at + 40] = 255
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = self.sent_frames * 90_000 // self._fps, Fraction(1, 90_000)
        self.sent_frames += 1
        return frame


def sent(caller: Caller) -> Counter[str]:
    """Count what the service says it sent to the model, by source."""
    return Counter(
        m["data"]["source"]
        for m in caller.messages
        if m["type"] == "server-message" and m["data"]["type"] == "picture-sent"
    )
