"""Keep what the caller said just before the client marked the beginning of their turn. Pure.

A mark travels separately from the voice. If it is lost on the way, its retransmission comes half a second late,
when the beginning of the turn has already been heard. So speech in progress when the mark arrives belongs to the
turn, up to one second of it.
"""

from __future__ import annotations

from collections import deque

from agent.media.fir import Pcm

MAX_FRAMES = 50  # 1 s
LEAD_FRAMES = 5  # the level detects speech up to 100 ms after it began


class Preroll:
    """Keeps recent frames until they are wanted: int16, shape ``(320,)`` each, mono, 16 kHz."""

    def __init__(self) -> None:
        self._frames: deque[Pcm] = deque(maxlen=MAX_FRAMES)
        self._speaking = False

    def push(self, pcm: Pcm, *, speaking: bool) -> None:
        """Keep a frame for as long as the caller is speaking, judged by level."""
        self._frames.append(pcm)
        self._speaking = speaking
        while not speaking and len(self._frames) > LEAD_FRAMES:
            self._frames.popleft()

    def take(self) -> list[Pcm]:
        """Return the frames of the speech in progress, oldest first; empty if there is none."""
        frames = list(self._frames) if self._speaking else []
        self._frames.clear()
        self._speaking = False
        return frames
