"""What the caller has begun to say before the service was told that they speak. Pure.

A mark travels apart from the voice: where one is lost on the way it comes half a second late, and the beginning of
what it stands for has been heard by then. So speech that goes on when a start comes belongs to it, up to a second.
"""

from __future__ import annotations

from collections import deque

from agent.media.fir import Pcm

KEPT_FRAMES = 50  # 1 s
LEAD_FRAMES = 5  # what the level takes for speech began up to 100 ms earlier


class Preroll:
    """Keep the frames that nobody has asked for yet: int16, shape ``(320,)`` each, mono, 16 kHz."""

    def __init__(self) -> None:
        self._frames: deque[Pcm] = deque(maxlen=KEPT_FRAMES)
        self._speaking = False

    def push(self, pcm: Pcm, *, speaking: bool) -> None:
        """Keep a frame, for as long as the caller speaks by level."""
        self._frames.append(pcm)
        self._speaking = speaking
        while not speaking and len(self._frames) > LEAD_FRAMES:
            self._frames.popleft()

    def take(self) -> list[Pcm]:
        """Return what was said so far in the speech that goes on, oldest first; nothing if none does."""
        frames = list(self._frames) if self._speaking else []
        self._frames.clear()
        self._speaking = False
        return frames
