"""A caller's camera or screen as a few JPEG pictures.

Packets come from the tap. At most one key frame per period is assembled, decoded, scaled and turned into a JPEG, in
one worker thread for all calls; every other packet costs a comparison. If aiortc cannot be tapped, its decoded
frames are used, at the cost of decoding all of them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from agent.clock import Clock
from agent.errors import MediaError
from agent.media.keyframe import Assembler, Part, is_key_frame, starts_frame
from agent.media.tap.guard import pass_over_empty_packets
from agent.media.tap.video import VideoTap, tap_video
from agent.media.throttle import Throttle
from agent.picture import Picture, Shown, SourceName

Thumbnail = NDArray[np.int16]

DECODERS = {
    "vp8": "vp8",
    "h264": "h264",
}  # by the codec's name in SDP; only FFmpeg's own decoders honour max_pixels
MAX_PIXELS = 4096 * 2304  # a larger picture is refused before memory is allocated for it
JPEG_QUANTISER = 4  # of 2..31; about 20 KB for 640x480
THUMBNAIL_PX = (64, 48)
# Differences of colour values (0 to 255) in a thumbnail. Two key frames of a still picture differ by less; after a
# blink of the cursor, or with a few new letters on a shared screen, they differ by more.
CHANGED_BLOCK = 12
CHANGED_MEAN = 2.0


@dataclass(slots=True)
class VideoStats:
    """Counters of one source."""

    packets: int = 0
    payload_bytes: int = 0
    key_frames: int = 0
    "Key frames that were taken to become pictures."
    requests: int = 0
    "Requests for a key frame."
    pictures: int = 0
    "Pictures that were handed on."
    unchanged: int = 0
    "Pictures that were skipped because they looked like the one before."
    replaced: int = 0
    "Key frames that were dropped because a newer one came while they waited for the worker."
    unreadable: int = 0
    "Key frames that could not be decoded."
    packet_at: float = -math.inf
    "When the newest packet came (or frame, from aiortc), by the monotonic clock."


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A complete key frame as it came from the network: untrusted."""

    codec: str
    data: bytes = field(repr=False)


def decode_key_frame(frame: EncodedFrame) -> av.VideoFrame:
    """Decode a key frame by itself.

    Raises:
        MediaError: it is not a key frame, or too large.
    """
    try:
        # A new decoder each time: whatever a hostile frame does to it ends with it, and calls keep no memory.
        context = av.CodecContext.create(DECODERS[frame.codec], "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1  # with more, the decoder holds frames back
        context.options = {"max_pixels": str(MAX_PIXELS)}
        frames = context.decode(av.Packet(frame.data)) or context.decode(None)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise MediaError(f"cannot decode a {frame.codec} key frame: {type(error).__name__}") from None
    if not frames or frames[0].is_corrupt:
        raise MediaError(f"cannot decode a {frame.codec} key frame")
    return frames[0]


def fitting(width: int, height: int, max_px: int) -> tuple[int, int]:
    """Scale a size down so that its longest side is at most ``max_px``; never up."""
    scale = min(1.0, max_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def thumbnail(frame: av.VideoFrame) -> Thumbnail:
    """Return a picture's thumbnail for `differ`: int16, shape ``(48, 64, 3)``."""
    width, height = THUMBNAIL_PX
    return frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray().astype(np.int16)


def differ(one: Thumbnail, other: Thumbnail) -> bool:
    """Return True if two pictures look different."""
    apart = np.abs(one - other)
    return bool(apart.max() > CHANGED_BLOCK or apart.mean() > CHANGED_MEAN)


def encode_jpeg(frame: av.VideoFrame, max_px: int) -> Picture:
    """Return a JPEG (full range, 4:2:0), scaled to ``max_px``; from YUV, never by way of RGB."""
    width, height = fitting(frame.width, frame.height, max_px)
    scaled = frame.reformat(width, height, "yuvj420p", interpolation="AREA")
    scaled.pts = 0
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1)
    context.thread_count = 1
    context.qmin = context.qmax = JPEG_QUANTISER
    packets = [*context.encode(scaled), *context.encode(None)]
    return Picture(b"".join(bytes(packet) for packet in packets), "image/jpeg", width, height)


@dataclass(frozen=True, slots=True)
class _Looked:
    thumbnail: Thumbnail | None
    jpeg: Picture | None  # None: unchanged


def look(frame: EncodedFrame | av.VideoFrame, max_px: int, last: Thumbnail | None, skip: bool) -> _Looked:
    """Turn one frame into a JPEG; runs in the worker.

    Args:
        frame: a key frame, or a picture that aiortc decoded.
        max_px: longest side of the JPEG.
        last: thumbnail of the picture that was handed on last.
        skip: make no JPEG if the picture looks like that one.

    Raises:
        MediaError: the frame cannot be decoded.
    """
    picture = decode_key_frame(frame) if isinstance(frame, EncodedFrame) else frame
    try:
        small = thumbnail(picture) if skip else None
        if small is not None and last is not None and not differ(small, last):
            return _Looked(last, None)
        return _Looked(small, encode_jpeg(picture, max_px))
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise MediaError(f"cannot make a JPEG: {type(error).__name__}") from None


class VideoSource:
    """One camera or screen of one call; see `open_eye`.

    Args:
        name: which of the two it is.
        payloads: the codec's name in SDP by payload type, as negotiated.
        fps: pictures a second at most; above 0.
        max_px: longest side of a picture.
        skip_unchanged: hand on a picture only if it looks different from the last.
        see: takes the pictures.
        worker: decodes them; one for all sources, owned by whoever makes the sources.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: SourceName,
        payloads: Mapping[int, str],
        *,
        fps: float,
        max_px: int,
        skip_unchanged: bool,
        see: Callable[[Shown], None],
        worker: Executor,
        clock: Clock,
    ) -> None:
        self.name = name
        self.stats = VideoStats()
        self._codecs = {payload: codec.lower() for payload, codec in payloads.items() if codec.lower() in DECODERS}
        self._max_px = max_px
        self._skip_unchanged = skip_unchanged
        self._see = see
        self._worker = worker
        self._clock = clock
        self._throttle = Throttle(fps)
        self._assembler = Assembler()
        self._waiting: EncodedFrame | None = None  # the newest key frame, until the worker is free
        self._awake = asyncio.Event()
        self._last: Thumbnail | None = None

    def push(self, packet: RtpPacket, data: bytes) -> None:
        """Take a packet as it comes: untrusted; see `agent.media.tap.video.OnPacket`."""
        now = self._clock()
        self.stats.packet_at = now
        self.stats.packets += 1
        self.stats.payload_bytes += len(packet.payload)
        if self._throttle.arrived(now):
            self._awake.set()
        if not self._throttle.wants(now):
            return
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return
        first = starts_frame(codec, packet.payload, data)
        whole = self._assembler.push(
            Part(packet.sequence_number, packet.timestamp, bool(packet.marker), first, data)
        )
        if whole is None or not is_key_frame(codec, whole):
            return
        self._throttle.take(now)
        self._assembler.clear()
        self.stats.key_frames += 1
        self.stats.replaced += self._waiting is not None
        self._waiting = EncodedFrame(codec, whole)
        self._awake.set()

    def forget(self) -> None:
        """Hand on the next picture even if it looks like the last one, which its viewer has not seen."""
        self._last = None

    async def watch(self, tapped: VideoTap) -> None:
        """Ask for key frames and hand on pictures until cancelled; the worker has one frame at a time."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._throttle.ask_in(self._clock())):
                    await self._awake.wait()
            self._awake.clear()
            frame, self._waiting = self._waiting, None
            if frame is not None:
                await self._look_at(frame)
            if self._throttle.ask_in(self._clock()) == 0:
                self._throttle.asked(self._clock())
                self.stats.requests += 1
                await tapped.request_key_frame()

    async def watch_frames(self, receiver: RTCRtpReceiver) -> None:
        """Hand on pictures from aiortc's decoded frames until its track ends; other frames are dropped at once."""
        while True:
            try:
                frame = await receiver.track.recv()
            except MediaStreamError:
                return
            now = self.stats.packet_at = self._clock()
            if self._throttle.wants(now) and isinstance(frame, av.VideoFrame):
                self._throttle.take(now)
                await self._look_at(frame)

    async def _look_at(self, frame: EncodedFrame | av.VideoFrame) -> None:
        loop = asyncio.get_running_loop()
        try:
            looked = await loop.run_in_executor(
                self._worker, look, frame, self._max_px, self._last, self._skip_unchanged
            )
        except MediaError:
            self.stats.unreadable += 1
            return
        self._last = looked.thumbnail
        if looked.jpeg is None:
            self.stats.unchanged += 1
            return
        self.stats.pictures += 1
        self._see(Shown(self.name, looked.jpeg))


@dataclass(frozen=True, slots=True)
class Eye:
    """Where a call sees its caller's camera or screen.

    Attributes:
        name: which.
        watch: to be awaited while the call lasts; hands on pictures.
        tapped: packets come straight from the network; False when aiortc's frames are used.
        stats: of the source.
        forget: hand on the next picture even if it looks like the last.
    """

    name: SourceName
    watch: Callable[[], Coroutine[Any, Any, None]]
    tapped: bool
    stats: VideoStats
    forget: Callable[[], None]


def open_eye(receiver: RTCRtpReceiver, source: VideoSource) -> Eye:
    """Take over a receiver's video, by the tap if it can be; after negotiation and before media flows."""
    tapped = tap_video(receiver, source.push)
    if tapped is None:
        pass_over_empty_packets(receiver)
        return Eye(source.name, lambda: source.watch_frames(receiver), False, source.stats, source.forget)
    return Eye(source.name, lambda: source.watch(tapped), True, source.stats, source.forget)
