"""How loud the caller is, and whether that is speech: an energy detector with an adaptive noise floor.

It steers the size of uplink chunks and the speaking events. It gates nothing: all audio goes to the model.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.02
AUDIBLE_PEAK = 32
QUIETEST_SPEECH_DBFS = -52.0  # fainter than this is never called speech
ABOVE_FLOOR_DB = 9.0  # speech stands at least this far above the noise
FLOOR_FALL = 0.3  # share of the way to a quieter frame: the floor follows silence within 0.2 s
FLOOR_RISE_DB_PER_FRAME = 0.06  # 3 dB/s: steady noise becomes the floor, a sentence does not
START_FRAMES = 3  # of the last five: one click is no speech
HANGOVER_FRAMES = 30  # a pause between words ends no talkspurt
HANGOVER_S = HANGOVER_FRAMES * FRAME_S


def is_audible(pcm: NDArray[np.int16]) -> bool:
    """Tell whether any sample of a voice, int16, would be heard at all (above -60 dBFS)."""
    return len(pcm) > 0 and bool(pcm.max() > AUDIBLE_PEAK or pcm.min() < -AUDIBLE_PEAK)


class SpeechLevel:
    """Tell speech from silence, one 20 ms frame at a time."""

    def __init__(self) -> None:
        self.dbfs = -96.0
        "Level of the latest frame."
        self.speaking = False
        "True from the start of a talkspurt until its hangover has passed."
        self._floor_dbfs = -60.0
        self._recent = 0  # bit n: the frame n frames ago was loud
        self._quiet_frames = 0

    def push(self, pcm: NDArray[np.int16]) -> bool:
        """Measure one frame.

        Args:
            pcm: int16, shape ``(samples,)``, mono, 20 ms at any rate.

        Returns:
            True if this frame alone is loud enough to be speech.
        """
        if len(pcm) == 0:
            return False
        samples = pcm.astype(np.float32)
        power = float(samples @ samples) / len(samples)
        self.dbfs = 10 * math.log10(power + 1e-2) - 90.3
        loud = self.dbfs > max(QUIETEST_SPEECH_DBFS, self._floor_dbfs + ABOVE_FLOOR_DB)
        self._follow_floor()
        self._recent = (self._recent << 1 | loud) & 0b11111
        self._quiet_frames = 0 if loud else self._quiet_frames + 1
        if not self.speaking:
            self.speaking = self._recent.bit_count() >= START_FRAMES
        elif self._quiet_frames >= HANGOVER_FRAMES:
            self.speaking = False
        return loud

    def _follow_floor(self) -> None:
        if self.dbfs < self._floor_dbfs:
            self._floor_dbfs += (max(self.dbfs, -75.0) - self._floor_dbfs) * FLOOR_FALL
        else:
            self._floor_dbfs += FLOOR_RISE_DB_PER_FRAME
