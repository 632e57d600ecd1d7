"""When the caller speaks: an energy detector with an adaptive floor. Pure; time is a count of samples.

Rules:
* The floor is the quietest level of the last four seconds, so that steady noise becomes the floor by itself.
* Speech starts after 60 ms well above the floor and ends after the silence window; the level that keeps it alive
  is lower than the one that starts it.
* Exact zeros are a muted or lost stretch, not the room: they are silence but do not move the floor.
* Everything is int16, shape ``(samples,)``, mono, 16 kHz.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from agent.emulator.pcm import HEARD_HZ, Pcm

FRAME_SAMPLES = HEARD_HZ // 50
_FULL_SCALE = FRAME_SAMPLES * 32768.0**2
_START_FRAMES = 3
_START_ABOVE_DB = 9.0
_KEEP_ABOVE_DB = 5.0
_QUIETEST_DB = -70.0
_AUDIBLE_DB = -46.0  # no room is so quiet that less than this is somebody speaking to us
_LOUDEST_FLOOR_DB = -22.0
_FLOOR_BLOCK_FRAMES = 25
_FLOOR_BLOCKS = 8
_PAUSE_FRAMES = 10
_PREROLL_FRAMES = 15
_MAX_UTTERANCE_SAMPLES = 30 * HEARD_HZ
DEFAULT_SILENCE_MS = 500


@dataclass(frozen=True)
class SpeechStarted:
    """The caller began to speak."""

    at_samples: int
    """Where the first loud frame began."""


@dataclass(frozen=True)
class SpeechEnded:
    """The caller has been silent for the whole window."""

    start_samples: int
    end_samples: int
    """The end of the last loud frame."""
    pcm: Pcm
    """What was said, with a little before and after it; at most the last 30 s."""
    joined: bool = False
    """It was said in two parts."""

    @property
    def voice_s(self) -> float:
        return (self.end_samples - self.start_samples) / HEARD_HZ


@dataclass(frozen=True)
class SpeechPaused:
    """The caller has been silent for a moment, and may have finished: a recogniser can begin on what there is."""

    end_samples: int
    """The end of the last loud frame."""
    pcm: Pcm


HearingFact: TypeAlias = SpeechStarted | SpeechPaused | SpeechEnded


def join_speech(first: SpeechEnded, second: SpeechEnded) -> SpeechEnded:
    """One utterance of two, for a caller who paused in the middle of a sentence."""
    pcm = np.concatenate((first.pcm, second.pcm))[-_MAX_UTTERANCE_SAMPLES:]
    return SpeechEnded(first.start_samples, second.end_samples, pcm, joined=True)


class Hearing:
    """The detector of one session.

    Args:
        silence_ms: how long the caller must be silent for speech to end.
        keep_audio: whether ``SpeechEnded`` carries the sound; without a recogniser nobody needs it.
    """

    def __init__(self, *, silence_ms: int = DEFAULT_SILENCE_MS, keep_audio: bool = True) -> None:
        self._silence_frames = max(1, round(silence_ms / 20))
        self._keep_audio = keep_audio
        self._partial = np.empty(0, dtype=np.int16)
        self._at = 0  # samples that were judged
        self._floor_blocks: deque[float] = deque(maxlen=_FLOOR_BLOCKS)
        self._block_db = 0.0
        self._block_frames = 0
        self._floor_db = -60.0
        self._loud_run = 0
        self._quiet_run = 0
        self._start: int | None = None
        self._loud_until = 0
        self._kept: deque[Pcm] = deque()
        self._kept_samples = 0

    @property
    def speaking(self) -> bool:
        return self._start is not None

    @property
    def floor_db(self) -> float:
        return self._floor_db

    def feed(self, pcm: Pcm) -> list[HearingFact]:
        """Listen to the next samples, any number of them."""
        if self._partial.size:
            pcm = np.concatenate((self._partial, pcm))
        count = pcm.size // FRAME_SAMPLES
        self._partial = pcm[count * FRAME_SAMPLES :]
        if not count:
            return []
        frames = pcm[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
        wide = frames.astype(np.float32)
        energies = np.einsum("ij,ij->i", wide, wide).tolist()
        facts: list[HearingFact] = []
        for frame, energy in zip(frames, energies, strict=True):
            self._keep(frame)
            level_db = 10 * math.log10(max(energy / _FULL_SCALE, 1e-7))
            self._judge(level_db, digital_silence=energy == 0, facts=facts)
        return facts

    def end(self) -> list[HearingFact]:
        """The microphone was closed: speech that is going on ends here."""
        return [self._ended()] if self._start is not None else []

    def _judge(self, level_db: float, *, digital_silence: bool, facts: list[HearingFact]) -> None:
        self._at += FRAME_SAMPLES
        if not digital_silence:
            self._learn_floor(level_db)
        above = _KEEP_ABOVE_DB if self._start is not None else _START_ABOVE_DB
        loud = level_db > max(self._floor_db + above, _AUDIBLE_DB)
        self._loud_run = self._loud_run + 1 if loud else 0
        self._quiet_run = 0 if loud else self._quiet_run + 1
        if loud:
            self._loud_until = self._at
        if self._start is None and self._loud_run >= _START_FRAMES:
            self._start = self._at - _START_FRAMES * FRAME_SAMPLES
            facts.append(SpeechStarted(self._start))
        elif self._start is not None and self._quiet_run >= self._silence_frames:
            facts.append(self._ended())
        elif self._start is not None and self._quiet_run == _PAUSE_FRAMES and self._keep_audio:
            facts.append(SpeechPaused(self._loud_until, self._kept_pcm()))

    def _ended(self) -> SpeechEnded:
        assert self._start is not None
        fact = SpeechEnded(self._start, self._loud_until, self._kept_pcm())
        self._start = None
        self._loud_run = 0
        self._kept.clear()
        self._kept_samples = 0
        return fact

    def _learn_floor(self, level_db: float) -> None:
        self._block_db = min(self._block_db, level_db)
        self._block_frames += 1
        if self._block_frames == _FLOOR_BLOCK_FRAMES:
            self._floor_blocks.append(self._block_db)
            self._block_db, self._block_frames = 0.0, 0
            if len(self._floor_blocks) == _FLOOR_BLOCKS:
                self._set_floor(min(self._floor_blocks))
        if level_db < self._floor_db:
            self._set_floor(level_db)

    def _set_floor(self, level_db: float) -> None:
        self._floor_db = min(max(level_db, _QUIETEST_DB), _LOUDEST_FLOOR_DB)

    def _kept_pcm(self) -> Pcm:
        return np.concatenate(self._kept) if self._kept else np.empty(0, dtype=np.int16)

    def _keep(self, frame: Pcm) -> None:
        if not self._keep_audio:
            return
        self._kept.append(frame)
        self._kept_samples += frame.size
        limit = _MAX_UTTERANCE_SAMPLES if self._start is not None else _PREROLL_FRAMES * FRAME_SAMPLES
        while self._kept_samples > limit:
            self._kept_samples -= self._kept.popleft().size


class MarkedHearing:
    """Listens between the client's own marks, when the detector is off; the same facts come out."""

    def __init__(self, *, keep_audio: bool = True) -> None:
        self._keep_audio = keep_audio
        self._at = 0
        self._start: int | None = None
        self._kept: deque[Pcm] = deque()

    @property
    def speaking(self) -> bool:
        return self._start is not None

    def start(self) -> list[HearingFact]:
        if self._start is not None:
            return []
        self._start = self._at
        return [SpeechStarted(self._at)]

    def feed(self, pcm: Pcm) -> list[HearingFact]:
        self._at += pcm.size
        if self._start is not None and self._keep_audio:
            self._kept.append(pcm)
            while sum(part.size for part in self._kept) > _MAX_UTTERANCE_SAMPLES:
                self._kept.popleft()
        return []

    def end(self) -> list[HearingFact]:
        if self._start is None:
            return []
        pcm = np.concatenate(self._kept) if self._kept else np.empty(0, dtype=np.int16)
        fact = SpeechEnded(self._start, self._at, pcm)
        self._start = None
        self._kept.clear()
        return [fact]
