"""When the caller speaks: an energy detector with an adaptive noise floor. Pure; it tells time by counting samples.

Rules:
* The floor is the quietest level of the last four seconds, so steady noise soon becomes the floor.
* Speech starts after ``Detection.start_ms`` of voice without gaps longer than those inside words, so a cough or a
  click is not speech. It ends after ``Detection.silence_ms``; the level that keeps it going is lower than the one
  that starts it.
* Speech is handed on while it lasts, from a little before its beginning up to its last pause.
* Exact zeros are a muted or lost stretch, not the room: they count as silence but do not move the floor.
* All sound is int16, shape ``(samples,)``, mono, 16 kHz.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from agent.emulator.model.pcm import HEARD_HZ, Pcm
from agent.emulator.wire.incoming import DEFAULT_DETECTION, Detection

FRAME_MS = 20
FRAME_SAMPLES = HEARD_HZ * FRAME_MS // 1000
PIECE_SAMPLES = HEARD_HZ // 10
"""Speech is handed on in pieces of at least this size."""
_FULL_SCALE = FRAME_SAMPLES * 32768.0**2
_START_ABOVE_DB = 9.0
_LOW_SENSITIVITY_START_ABOVE_DB = 15.0
_KEEP_ABOVE_DB = 5.0
_MIN_FLOOR_DB = -70.0
_MAX_FLOOR_DB = -22.0
_MIN_SPEECH_DB = -46.0  # even in a silent room, anything quieter is not somebody speaking to us
_FLOOR_BLOCK_FRAMES = 25
_FLOOR_BLOCKS = 8
_GAP_FRAMES = 5  # the closure before a p, t or k is shorter
_PAUSE_FRAMES = 10
_PREROLL_FRAMES = 15


@dataclass(frozen=True)
class SpeechStarted:
    """The caller began to speak."""

    at_samples: int
    """Where the first loud frame began."""


@dataclass(frozen=True)
class SpeechHeard:
    """The caller's speech since the last such fact."""

    pcm: Pcm


@dataclass(frozen=True)
class SpeechPaused:
    """The caller has been silent for a moment and may have finished: a recogniser can decide."""

    end_samples: int
    """The end of the last loud frame."""


@dataclass(frozen=True)
class SpeechEnded:
    """The caller has been silent for the whole window."""

    start_samples: int
    end_samples: int
    """The end of the last loud frame."""

    @property
    def voice_s(self) -> float:
        return (self.end_samples - self.start_samples) / HEARD_HZ


SpeechFact: TypeAlias = SpeechStarted | SpeechHeard | SpeechPaused | SpeechEnded


class SpeechDetector:
    """The detector of one session.

    Args:
        detection: how speech is found.
        keep_audio: hand the sound on; only a recogniser needs it.
    """

    def __init__(self, detection: Detection = DEFAULT_DETECTION, *, keep_audio: bool = True) -> None:
        self._start_frames = max(1, round(detection.start_ms / FRAME_MS))
        self._start_above_db = _START_ABOVE_DB if detection.start_readily else _LOW_SENSITIVITY_START_ABOVE_DB
        self._silence_frames = max(1, round(detection.silence_ms / FRAME_MS))
        self._keep_audio = keep_audio
        self._partial = np.empty(0, dtype=np.int16)
        self._at = 0  # samples judged so far
        self._floor_blocks: deque[float] = deque(maxlen=_FLOOR_BLOCKS)
        self._block_db = 0.0
        self._block_frames = 0
        self._floor_db = -60.0
        self._quiet_run = 0
        self._voice_frames = 0  # in what may become speech
        self._voice_from = 0  # where that began
        self._start: int | None = None
        self._loud_until = 0
        self._kept: deque[Pcm] = deque()  # not handed on yet
        self._kept_samples = 0

    @property
    def speaking(self) -> bool:
        return self._start is not None

    @property
    def floor_db(self) -> float:
        return self._floor_db

    def feed(self, pcm: Pcm) -> list[SpeechFact]:
        """Take the next samples, any number of them."""
        if self._partial.size:
            pcm = np.concatenate((self._partial, pcm))
        count = pcm.size // FRAME_SAMPLES
        self._partial = pcm[count * FRAME_SAMPLES :]
        if not count:
            return []
        frames = pcm[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
        wide = frames.astype(np.float32)
        energies = np.einsum("ij,ij->i", wide, wide).tolist()
        facts: list[SpeechFact] = []
        for frame, energy in zip(frames, energies, strict=True):
            self._keep(frame)
            level_db = 10 * math.log10(max(energy / _FULL_SCALE, 1e-7))
            self._judge(level_db, digital_silence=energy == 0, facts=facts)
        return facts

    def end(self) -> list[SpeechFact]:
        """The microphone was closed: speech ends here."""
        if self._start is None:
            return []
        facts: list[SpeechFact] = []
        self._hand_on(facts)
        self._end(facts)
        return facts

    def _judge(self, level_db: float, *, digital_silence: bool, facts: list[SpeechFact]) -> None:
        self._at += FRAME_SAMPLES
        if not digital_silence:
            self._learn_floor(level_db)
        above = _KEEP_ABOVE_DB if self._start is not None else self._start_above_db
        loud = level_db > max(self._floor_db + above, _MIN_SPEECH_DB)
        self._quiet_run = 0 if loud else self._quiet_run + 1
        if loud:
            self._loud_until = self._at
        if self._start is None:
            self._wait_for_speech(loud, facts)
        else:
            self._follow_speech(facts)

    def _wait_for_speech(self, loud: bool, facts: list[SpeechFact]) -> None:
        if not loud:
            if self._quiet_run >= _GAP_FRAMES:
                self._voice_frames = 0
            return
        if not self._voice_frames:
            self._voice_from = self._at - FRAME_SAMPLES
        self._voice_frames += 1
        if self._voice_frames >= self._start_frames:
            self._start = self._voice_from
            facts.append(SpeechStarted(self._start))
            self._hand_on(facts)

    def _follow_speech(self, facts: list[SpeechFact]) -> None:
        if self._quiet_run >= self._silence_frames:
            if self._quiet_run < _PAUSE_FRAMES:
                self._hand_on(facts)
            self._end(facts)
        elif self._quiet_run == _PAUSE_FRAMES and self._keep_audio:
            self._hand_on(facts)
            facts.append(SpeechPaused(self._loud_until))
        elif self._kept_samples >= PIECE_SAMPLES and self._quiet_run < _PAUSE_FRAMES:
            self._hand_on(facts)

    def _end(self, facts: list[SpeechFact]) -> None:
        assert self._start is not None
        facts.append(SpeechEnded(self._start, self._loud_until))
        self._start = None
        self._voice_frames = 0

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
        self._floor_db = min(max(level_db, _MIN_FLOOR_DB), _MAX_FLOOR_DB)

    def _hand_on(self, facts: list[SpeechFact]) -> None:
        if self._kept:
            facts.append(SpeechHeard(np.concatenate(self._kept)))
            self._kept.clear()
            self._kept_samples = 0

    def _keep(self, frame: Pcm) -> None:
        """Keep what may have to be handed on: the moments before speech, and a pause in it."""
        if not self._keep_audio:
            return
        self._kept.append(frame)
        self._kept_samples += frame.size
        if self._start is None:
            begun = self._at + FRAME_SAMPLES - self._voice_from if self._voice_frames else 0
            limit = _PREROLL_FRAMES * FRAME_SAMPLES + begun
            while self._kept_samples > limit:
                self._kept_samples -= self._kept.popleft().size


class MarkedSpeech:
    """The same facts from the client's own marks, when the detector is off."""

    def __init__(self, *, keep_audio: bool = True) -> None:
        self._keep_audio = keep_audio
        self._at = 0
        self._start: int | None = None
        self._kept: list[Pcm] = []

    @property
    def speaking(self) -> bool:
        return self._start is not None

    def start(self) -> list[SpeechFact]:
        if self._start is not None:
            return []
        self._start = self._at
        return [SpeechStarted(self._at)]

    def feed(self, pcm: Pcm) -> list[SpeechFact]:
        self._at += pcm.size
        if self._start is not None and self._keep_audio:
            self._kept.append(pcm)
        return self._hand_on() if sum(part.size for part in self._kept) >= PIECE_SAMPLES else []

    def end(self) -> list[SpeechFact]:
        if self._start is None:
            return []
        facts = [*self._hand_on(), SpeechEnded(self._start, self._at)]
        self._start = None
        return facts

    def _hand_on(self) -> list[SpeechFact]:
        if not self._kept:
            return []
        fact = SpeechHeard(np.concatenate(self._kept))
        self._kept.clear()
        return [fact]
