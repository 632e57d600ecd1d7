"""Show a picture or video file in place of a camera, for `talkspurt call` and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from agent.errors import ConfigError

MAX_FPS = 5  # an agent looks at one picture per second
MAX_PX = 1280  # larger pictures cost more to encode than they add
RATE_HZ = 90_000
ROUNDING_S = 0.001
UNREADABLE = (av.FFmpegError, OSError, ValueError, IndexError)


class FileCamera(MediaStreamTrack):
    """Show a file in a loop, without sound, at its own rate up to `MAX_FPS`, scaled down to `MAX_PX`.

    Args:
        path: a picture or a video, in any format that FFmpeg knows.

    Raises:
        ConfigError: it cannot be read.
    """

    kind = "video"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._frames = _shown(path)
        try:
            self._next = next(self._frames, None)
        except IndexError:  # for instance, it has only sound
            self._next = None
        except UNREADABLE as error:
            raise _unusable(path, getattr(error, "strerror", None) or str(error)) from None
        if self._next is None:
            raise _unusable(path, "it has no picture")
        self._began: float | None = None

    async def recv(self) -> av.VideoFrame:
        """Return the next frame once it is due.

        Raises:
            MediaStreamError: the track was stopped, or the rest of the file cannot be read.
        """
        if self.readyState != "live" or self._next is None:
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        at_s, frame = self._next
        try:
            self._next = await asyncio.to_thread(next, self._frames, None)  # decoding may take a while
        except UNREADABLE:
            self._next = None
        await asyncio.sleep(max(0.0, self._began + at_s - loop.time()))
        frame.pts, frame.time_base = round(at_s * RATE_HZ), Fraction(1, RATE_HZ)
        return frame


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"flag --camera = {str(path)!r}: cannot be read: {reason}")


def _shown(path: Path) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield frames in a loop, each with the seconds at which it is due; end if the file has none."""
    begin_s, shown, picture = 0.0, 1, None
    while shown:
        due_s, shown = begin_s, 0
        for at_s, frame in _decoded(path):
            if begin_s + at_s >= due_s - ROUNDING_S:
                due_s, shown, picture = begin_s + at_s, shown + 1, _fitted(frame)
                yield due_s, picture
                due_s += 1 / MAX_FPS
        while shown == 1 and picture is not None:  # a still picture is decoded only once
            yield due_s, picture
            due_s += 1 / MAX_FPS
        begin_s = due_s


def _decoded(path: Path) -> Iterator[tuple[float, Any]]:
    with av.open(str(path)) as container:
        first_s: float | None = None
        for frame in container.decode(video=0):
            at_s = frame.time or 0.0
            first_s = at_s if first_s is None else first_s
            yield at_s - first_s, frame


def _fitted(frame: av.VideoFrame) -> av.VideoFrame:
    """Return the frame in the encoders' pixel format, with an even width and height."""
    scale = min(1.0, MAX_PX / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale) // 2 * 2) for side in (frame.width, frame.height))
    return frame.reformat(width, height, "yuv420p")
