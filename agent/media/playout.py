"""Queue the agent's voice between the model, which sends bursts, and the wire, which takes 20 ms at a time.

Rules:
  1. Every accepted sample is either heard once or dropped once: pushed = heard + dropped + queued.
  2. Speech belongs to a generation. Generations have ascending numbers; once one is flushed, anything that arrives
     late for it or for an older one is refused.
  3. Heard means handed to the wire by `pull`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from agent.media.fir import Pcm

VOICE_RATE_HZ = 24_000
FRAME_SAMPLES = VOICE_RATE_HZ // 50
MAX_QUEUED_SAMPLES = 600 * VOICE_RATE_HZ  # 10 min, 29 MB; only a faulty model sends a longer reply
FADE_SAMPLES = VOICE_RATE_HZ * 5 // 1000  # 5 ms at a flush, because a hard cut clicks

_FADE = np.linspace(1.0, 0.0, FADE_SAMPLES, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Flushed:
    """How much of a generation was heard before it was cut off.

    Attributes:
        generation: the generation.
        heard_samples: samples of it that were sent, including the fade-out.
        dropped_samples: samples of it that were not sent.
    """

    generation: int
    heard_samples: int
    dropped_samples: int


@dataclass(slots=True)
class _Count:
    heard: int = 0
    dropped: int = 0
    queued: int = 0


class Playout:
    """Queues speech by generation and hands it out in frames."""

    def __init__(self) -> None:
        self.generation = 0
        "The newest generation for which speech was queued, or that was flushed."
        self.playing = 0
        "The generation of the newest sample that was pulled; 0 before the first."
        self.queued_samples = 0
        self.total_heard_samples = 0
        self.total_dropped_samples = 0
        self._queue: deque[tuple[int, Pcm]] = deque()
        self._offset = 0  # samples already pulled from the first queued item
        self._flushed_to = -1
        self._counts = {0: _Count()}  # keyed by generation: the newest, and those still playing

    def queued_in(self, generation: int) -> int:
        """Return how many samples of a generation are waiting to be heard."""
        count = self._counts.get(generation)
        return 0 if count is None else count.queued

    def push(self, pcm: Pcm, *, generation: int) -> bool:
        """Queue speech.

        Args:
            pcm: int16, shape ``(samples,)``, mono, 24 kHz; may be empty.
            generation: the generation it belongs to; never lower than that of speech already queued.

        Returns:
            False if it was dropped: its generation was flushed, or the queue is full.
        """
        if generation > self.generation:
            self._begin(generation)
        if generation <= self._flushed_to or self.queued_samples + len(pcm) > MAX_QUEUED_SAMPLES:
            self._drop(len(pcm), generation)
            return False
        if len(pcm):
            self._queue.append((generation, pcm))
            self._counts[generation].queued += len(pcm)
            self.queued_samples += len(pcm)
        return True

    def pull(self, samples: int = FRAME_SAMPLES) -> Pcm | None:
        """Take the next samples for the wire.

        Args:
            samples: how many.

        Returns:
            int16, shape ``(samples,)``, mono, 24 kHz, padded with zeros; None if nothing is queued.
        """
        if not self._queue:
            return None
        generation, first = self._queue[0]
        if len(first) - self._offset > samples:  # all in one item: a view, not a copy
            frame = first[self._offset : self._offset + samples]
            self._offset += samples
            self._heard(samples, generation)
            return frame
        frame = np.zeros(samples, np.int16)
        self._fill(frame)
        return frame

    def flush(self, generation: int | None = None) -> tuple[list[Flushed], Pcm | None]:
        """Throw away all queued speech, and refuse speech that arrives late.

        Args:
            generation: refuse generations up to this one; None means the newest seen.

        Returns:
            The counts of each queued generation and of the newest, oldest first; and the next 5 ms of what was
            queued, faded out, to send before silence, or None if nothing was queued. The fade-out counts as heard.
        """
        if generation is not None and generation > self.generation:
            self._begin(generation)
        cut = [each for each, count in self._counts.items() if count.queued or each == self.generation]
        fade = self._fade_out()
        for queued_generation, pcm in self._queue:
            self._drop(len(pcm) - self._offset, queued_generation)
            self._offset = 0  # only the first item was partly pulled
        self._queue.clear()
        self.queued_samples = 0
        self._flushed_to = max(self._flushed_to, self.generation)
        for count in self._counts.values():
            count.queued = 0
        return [Flushed(each, self._counts[each].heard, self._counts[each].dropped) for each in cut], fade

    def _begin(self, generation: int) -> None:
        """Start counting for a new generation; older speech that is still queued is played first."""
        self._counts = {each: count for each, count in self._counts.items() if count.queued}
        self._counts[generation] = _Count()
        self.generation = generation

    def _fade_out(self) -> Pcm | None:
        if not self._queue:
            return None
        tail = np.zeros(FADE_SAMPLES, np.int16)
        self._fill(tail)
        return (tail * _FADE).astype(np.int16)

    def _fill(self, frame: Pcm) -> None:
        filled = 0
        while self._queue and filled < len(frame):
            generation, pcm = self._queue[0]
            part = pcm[self._offset : self._offset + len(frame) - filled]
            frame[filled : filled + len(part)] = part
            filled += len(part)
            self._offset += len(part)
            self._heard(len(part), generation)
            if self._offset == len(pcm):
                self._queue.popleft()
                self._offset = 0

    def _heard(self, samples: int, generation: int) -> None:
        self.queued_samples -= samples
        self.total_heard_samples += samples
        self.playing = generation
        count = self._counts[generation]
        count.heard += samples
        count.queued -= samples

    def _drop(self, samples: int, generation: int) -> None:
        self.total_dropped_samples += samples
        if generation in self._counts:  # otherwise it ended long ago
            self._counts[generation].dropped += samples
