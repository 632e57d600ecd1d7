"""Turn a caller's camera or screen into occasional JPEG pictures.

Packets come from the tap. At most one key frame per period is assembled, then decoded, scaled and encoded as JPEG
in a worker thread that all calls share. All other packets cost a comparison. If aiortc cannot be tapped, its
decoded frames are used, at the cost of decoding all of them.
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

from agent.capture import MAX_FRAME_BYTES, Capture
from agent.clock import Clock
from agent.errors import MediaError
from agent.media.keyframe import Assembler, Part, is_key_frame, starts_frame
from agent.media.tap.guard import pass_over_empty_packets
from agent.media.tap.video import VideoTap, tap_video
from agent.media.throttle import Throttle
from agent.picture import Picture, Shown, SourceName

Thumbnail = NDArray[np.int16]

DECODERS = {"vp8": "vp8", "h264": "h264"}  # keyed by name in SDP; FFmpeg's own decoders, which respect max_pixels
MAX_PIXELS = 4096 * 2304  # larger pictures are refused before memory is allocated for them
JPEG_QUANTISER = 4  # in 2..31; gives about 20 KB for 640x480
THUMBNAIL_PX = (64, 48)
# Differences between thumbnails, out of 255, per pixel and colour. Two key frames of a still picture differ by
# less; a blinking cursor or a few new letters on a shared screen by more.
CHANGED_PIXEL = 12
CHANGED_MEAN = 2.0


@dataclass(slots=True)
class VideoStats:
    """Counters for one source."""

    packets: int = 0
    payload_bytes: int = 0
    key_frames: int = 0
    "Key frames taken to become pictures."
    requests: int = 0
    "Key frames requested from the caller."
    pictures: int = 0
    "Pictures passed on."
    unchanged: int = 0
    "Pictures skipped because they looked like the previous one."
    replaced: int = 0
    "Key frames dropped because a newer one came while they waited for the worker."
    unreadable: int = 0
    "Frames that could not be decoded."
    packet_at: float = -math.inf
    "When the newest packet, or frame from aiortc, arrived, in monotonic seconds."


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A complete key frame as it came from the network; untrusted."""

    codec: str
    data: bytes = field(repr=False)


def decode_key_frame(frame: EncodedFrame) -> av.VideoFrame:
    """Decode a single key frame.

    Raises:
        MediaError: it cannot be decoded, or is too large.
    """
    try:
        # A new decoder each time: a hostile frame cannot affect later ones, and no memory is kept per call.
        context = av.CodecContext.create(DECODERS[frame.codec], "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1  # more threads would hold back frames
        context.options = {"max_pixels": str(MAX_PIXELS)}
        frames = context.decode(av.Packet(frame.data)) or context.decode(None)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise MediaError(f"cannot decode a {frame.codec} key frame: {type(error).__name__}") from None
    if not frames or frames[0].is_corrupt:
        raise MediaError(f"cannot decode a {frame.codec} key frame")
    return frames[0]


def fitting(width: int, height: int, max_px: int) -> tuple[int, int]:
    """Scale a size down, never up, so that its longest side is at most ``max_px``."""
    scale = min(1.0, max_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def thumbnail(frame: av.VideoFrame) -> Thumbnail:
    """Return a picture's thumbnail, shape ``(48, 64, 3)``, for `differ`."""
    width, height = THUMBNAIL_PX
    return frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray().astype(np.int16)


def differ(one: Thumbnail, other: Thumbnail) -> bool:
    """Return True if two pictures look different."""
    apart = np.abs(one - other)
    return bool(apart.max() > CHANGED_PIXEL or apart.mean() > CHANGED_MEAN)


def encode_jpeg(frame: av.VideoFrame, max_px: int) -> Picture:
    """Return a JPEG (full range, 4:2:0) scaled to ``max_px``; made from YUV, not by way of RGB."""
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
    jpeg: Picture | None  # None if unchanged


def look(frame: EncodedFrame | av.VideoFrame, max_px: int, last: Thumbnail | None, skip: bool) -> _Looked:
    """Decode, compare and encode one frame; runs in the worker.

    Args:
        frame: a key frame, or a picture that aiortc decoded.
        max_px: longest side of the JPEG.
        last: thumbnail of the last picture that was passed on.
        skip: whether to make no JPEG if the picture looks like the last one.

    Raises:
        MediaError: it cannot be decoded or encoded.
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
    """One camera or screen in one call; see `open_inbound_video`.

    Args:
        name: whether it is the camera or the screen.
        payloads: the codec's name in SDP for each payload type, as negotiated.
        fps: maximum number of pictures per second; above 0.
        max_px: longest side of a picture.
        skip_unchanged: whether to skip pictures that look like the last one.
        see: takes the pictures.
        worker: decodes them; shared by all sources, and not closed here.
        clock: monotonic seconds.
        capture: notes the frames that become pictures, for a replay; None if nobody wants one.
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
        capture: Capture | None = None,
    ) -> None:
        self.name = name
        self._capture = capture
        self.stats = VideoStats()
        self._codecs = {payload: codec.lower() for payload, codec in payloads.items() if codec.lower() in DECODERS}
        self._max_px = max_px
        self._skip_unchanged = skip_unchanged
        self._see = see
        self._worker = worker
        self._clock = clock
        self._throttle = Throttle(fps)
        self._assembler = Assembler()
        self._waiting: EncodedFrame | None = None  # the newest key frame, waiting for the worker
        self._awake = asyncio.Event()
        self._last: Thumbnail | None = None

    def push(self, packet: RtpPacket, data: bytes) -> None:
        """Take an untrusted packet as it arrives; see `agent.media.tap.video.OnPacket`."""
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
        """Pass on the next picture even if it looks like the last, for a viewer that has not seen that one."""
        self._last = None

    async def watch(self, tapped: VideoTap) -> None:
        """Request key frames and pass on pictures until cancelled; the worker gets one frame at a time at most."""
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
        """Make pictures from aiortc's decoded frames until its track ends; all other frames are dropped at once."""
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
        if self._capture is not None and isinstance(frame, EncodedFrame) and len(frame.data) <= MAX_FRAME_BYTES:
            self._capture.note("frame", self.name, frame.codec, frame.data)
            self._capture.note("shown", self.name, looked.jpeg.data)
        self._see(Shown(self.name, looked.jpeg))


def picture_of(codec: str, data: bytes, max_px: int) -> Picture:
    """Make the picture of one key frame, as a `VideoSource` makes it.

    Raises:
        MediaError: it cannot be decoded or encoded.
    """
    looked = look(EncodedFrame(codec, data), max_px, None, False)
    assert looked.jpeg is not None
    return looked.jpeg


@dataclass(frozen=True, slots=True)
class InboundVideo:
    """How a call sees its caller's camera or screen.

    Attributes:
        name: whether it is the camera or the screen.
        watch: await it for as long as the call lasts; it passes on pictures.
        tapped: True if packets come straight from the network; False if aiortc's frames are used.
        stats: the source's counters.
        forget: makes the next picture pass even if it looks like the last.
    """

    name: SourceName
    watch: Callable[[], Coroutine[Any, Any, None]]
    tapped: bool
    stats: VideoStats
    forget: Callable[[], None]


def open_inbound_video(receiver: RTCRtpReceiver, source: VideoSource) -> InboundVideo:
    """Take over a receiver's video, through the tap if possible; call it after negotiation, before media flows."""
    tapped = tap_video(receiver, source.push)
    if tapped is None:
        pass_over_empty_packets(receiver)
        return InboundVideo(source.name, lambda: source.watch_frames(receiver), False, source.stats, source.forget)
    return InboundVideo(source.name, lambda: source.watch(tapped), True, source.stats, source.forget)
