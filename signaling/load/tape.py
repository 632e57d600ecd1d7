"""The sound of a scenario: caller left, agent right. Pure but for the file."""

from __future__ import annotations

import wave
from collections import deque
from pathlib import Path

import numpy as np

from agent.emulator.model.pcm import resample_whole
from agent.errors import ConfigError
from agent.media.fir import Pcm
from signaling.load.sounds import RATE_HZ

TAPE_HZ = 16_000
FRAME_S = 0.02
MAX_FRAMES = 30_000
"Ten minutes; of a longer call the newest are kept."
JITTER_S = 0.06
"A packet that comes this much off its place still belongs behind the one before."


class Tape:
    """Keeps both sides of a call."""

    def __init__(self) -> None:
        self._caller: deque[tuple[float, Pcm]] = deque(maxlen=MAX_FRAMES)
        self._agent: deque[tuple[float, Pcm]] = deque(maxlen=MAX_FRAMES)

    def caller(self, pcm: Pcm, now: float) -> None:
        """Take 20 ms of the caller: int16, shape ``(480,)``, mono, 24 kHz."""
        self._caller.append((now - FRAME_S, pcm))

    def agent(self, pcm: Pcm, now: float) -> None:
        """Take 20 ms of the agent: int16, shape ``(320,)``, mono, 16 kHz."""
        self._agent.append((now, pcm))

    def stereo(self) -> Pcm:
        """Return int16, shape ``(samples, 2)``, 16 kHz."""
        began = min((side[0][0] for side in (self._caller, self._agent) if side), default=0.0)
        left = resample_whole(_joined(self._caller, began, RATE_HZ), RATE_HZ, TAPE_HZ)
        right = _joined(self._agent, began, TAPE_HZ)
        size = max(left.size, right.size)
        return np.stack([np.pad(side, (0, size - side.size)) for side in (left, right)], axis=1)

    def write(self, path: Path) -> None:
        """Write a WAV file.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as raw, wave.open(raw, "wb") as file:
                file.setnchannels(2)
                file.setsampwidth(2)
                file.setframerate(TAPE_HZ)
                file.writeframes(self.stereo().astype("<i2", copy=False).tobytes())
        except OSError as error:
            raise ConfigError(f"the recording {path} cannot be written: {error.strerror or error}") from None


def _joined(frames: deque[tuple[float, Pcm]], began: float, rate_hz: int) -> Pcm:
    """Put frames one behind the other, with silence where some time passed between them."""
    parts: list[Pcm] = []
    size = 0
    for at, pcm in frames:
        gap = round((at - began) * rate_hz) - size
        if gap > JITTER_S * rate_hz:
            parts.append(np.zeros(gap, np.int16))
            size += gap
        parts.append(pcm)
        size += len(pcm)
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)
