"""Measure how loud the caller is and whether that is speech: an energy detector with an adaptive noise floor.

It determines the size of uplink chunks and the speaking events. It gates nothing: all audio goes to the model.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.02
AUDIBLE_PEAK = 32
MIN_SPEECH_DBFS = -52.0
MIN_DB_ABOVE_FLOOR = 9.0
FLOOR_FALL_PER_FRAME = 0.3  # fraction of the way to a quieter frame: the floor follows silence within 0.2 s
FLOOR_RISE_DB_PER_FRAME = 0.06  # 3 dB/s: steady noise becomes the floor, a sentence does not
START_FRAMES = 3  # out of the last five, so that a click is not taken for speech
HANGOVER_FRAMES = 30  # longer than pauses between words, which do not end a talkspurt
HANGOVER_S = HANGOVER_FRAMES * FRAME_S


def is_audible(pcm: NDArray[np.int16]) -> bool:
    """Return True if any int16 sample is loud enough to be heard at all (above -60 dBFS)."""
    return len(pcm) > 0 and bool(pcm.max() > AUDIBLE_PEAK or pcm.min() < -AUDIBLE_PEAK)


class SpeechLevel:
    """Distinguishes speech from silence, one 20 ms frame at a time."""

    def __init__(self) -> None:
        self.dbfs = -96.0
        "Level of the newest frame."
        self.speaking = False
        "True from the start of a talkspurt until the end of its hangover."
        self._floor_dbfs = -60.0
        self._recent = 0  # bit n is set if the frame n frames ago was loud
        self._quiet_frames = 0

    def push(self, pcm: NDArray[np.int16]) -> bool:
        """Measure one frame.

        Args:
            pcm: int16, shape ``(samples,)``, mono, 20 ms at any rate.

        Returns:
            True if this frame by itself is loud enough to be speech.
        """
        if len(pcm) == 0:
            return False
        samples = pcm.astype(np.float32)
        power = float(samples @ samples) / len(samples)
        self.dbfs = 10 * math.log10(power + 1e-2) - 90.3
        loud = self.dbfs > max(MIN_SPEECH_DBFS, self._floor_dbfs + MIN_DB_ABOVE_FLOOR)
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
            self._floor_dbfs += (max(self.dbfs, -75.0) - self._floor_dbfs) * FLOOR_FALL_PER_FRAME
        else:
            self._floor_dbfs += FLOOR_RISE_DB_PER_FRAME
