"""A caller's camera that shows nothing until it is told what."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from signaling.client.camera import RATE_HZ, FileCamera


class ScenarioCamera(MediaStreamTrack):
    """A camera whose file can be changed."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._file: FileCamera | None = None
        self._changed = asyncio.Event()
        self._began = asyncio.get_running_loop().time()

    def show(self, path: Path) -> None:
        """Show a picture or a video from now on.

        Raises:
            ConfigError: it cannot be read.
        """
        before, self._file = self._file, FileCamera(path)
        if before is not None:
            before.stop()
        self._changed.set()

    async def recv(self) -> av.VideoFrame:
        """Return the next frame once it is due.

        Raises:
            MediaStreamError: the track was stopped.
        """
        while self.readyState == "live":
            if self._file is None:
                await self._changed.wait()
                continue
            self._changed.clear()
            try:
                frame = await self._file.recv()
            except MediaStreamError:  # another file took its place, or the rest of it cannot be read
                await self._changed.wait()
                continue
            now = asyncio.get_running_loop().time()
            frame.pts, frame.time_base = round((now - self._began) * RATE_HZ), Fraction(1, RATE_HZ)
            return frame
        raise MediaStreamError

    def stop(self) -> None:
        """End the track; a pending `recv` raises."""
        super().stop()
        if self._file is not None:
            self._file.stop()
        self._changed.set()
