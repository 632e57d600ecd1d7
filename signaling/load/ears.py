"""What a caller has heard, and when: the agent's audible samples by their arrival. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np

from agent.media.fir import Pcm
from agent.media.level import AUDIBLE_PEAK

HEARD_HZ = 16_000
FRAME_S = 0.02
ONSET_GAP_S = 0.1
"So long nothing is audible before what counts as a new beginning."
STOP_GAP_S = 0.3
"So long nothing is audible after what counts as stopped; pauses between words are shorter."
MAX_FRAMES = 200_000  # more than an hour


class Ears:
    """The audible frames of a scenario's calls."""

    def __init__(self) -> None:
        self._audible: list[float] = []  # when each audible frame arrived
        self._ends: list[float] = []  # when its last audible sample was heard
        self._onsets: list[float] = []

    def hear(self, pcm: Pcm, now: float) -> None:
        """Take 20 ms as they arrive: int16, shape ``(320,)``, mono, 16 kHz."""
        loud = np.flatnonzero((pcm > AUDIBLE_PEAK) | (pcm < -AUDIBLE_PEAK))
        if not loud.size or len(self._audible) >= MAX_FRAMES:
            return
        begin = now + int(loud[0]) / HEARD_HZ
        if not self._ends or begin - self._ends[-1] >= ONSET_GAP_S:
            self._onsets.append(begin)
        self._audible.append(now)
        self._ends.append(now + (int(loud[-1]) + 1) / HEARD_HZ)

    def onset_after(self, since: float) -> float | None:
        """Return when the agent first began to be audible after a moment."""
        at = bisect_right(self._onsets, since)
        return self._onsets[at] if at < len(self._onsets) else None

    def audible_at(self, moment: float) -> bool:
        """Tell whether the agent was being heard at a moment, pauses between words included."""
        at = bisect_right(self._audible, moment)
        return at > 0 and moment - self._ends[at - 1] < STOP_GAP_S

    def audible_between(self, begin: float, end: float) -> bool:
        """Tell whether anything was audible in a stretch of time."""
        return bisect_left(self._audible, begin) < bisect_left(self._audible, end)

    def stopped_after(self, moment: float, now: float) -> float | None:
        """Return when what was audible at a moment stopped; None if it may still go on."""
        at = bisect_right(self._audible, moment) - 1
        if at < 0:
            return None
        while at + 1 < len(self._audible) and self._audible[at + 1] - self._ends[at] < STOP_GAP_S:
            at += 1
        return self._ends[at] if now - self._ends[at] >= STOP_GAP_S else None

    def stretches(self) -> Iterator[tuple[float, float]]:
        """Yield when the agent began to be audible and when it stopped, pauses between words left out."""
        begin: float | None = None
        for index, at in enumerate(self._audible):
            if begin is None:
                begin = at
            last = index + 1 == len(self._audible)
            if last or self._audible[index + 1] - self._ends[index] >= STOP_GAP_S:
                yield begin, self._ends[index]
                begin = None

    def quiet_s(self, now: float) -> float:
        """Return for how long nothing has been audible."""
        return now - self._ends[-1] if self._ends else float("inf")
