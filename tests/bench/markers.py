"""The sounds that are sent, and how they are found again on the other side. Pure.

A marker is a burst of a loud tone between quiet stretches. It begins with the first sample of a packet (or of a
message), so the packet that carries its onset is known when it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.media.fir import Pcm
from tests.support.tones import tone

HEARD_HZ = 16_000  # the rate at which both ends look for markers
BURST_S = 0.1
TONE_HZ = 1000.0
AMPLITUDE = 8000.0
ONSET_LEVEL = 2000  # a quarter of the tone; 30 dB above the noise floor
AUDIBLE_LEVEL = 400  # 5 % of the tone: what a listener would still notice of it
QUIET_BEFORE_SAMPLES = HEARD_HZ // 10  # an onset follows 0.1 s without the tone
NOISE_RMS = 30.0


def marker_tone(rate_hz: int, seconds: float) -> Pcm:
    """Return the marker's tone: int16, shape ``(samples,)``, mono."""
    return tone(TONE_HZ, rate_hz, seconds, AMPLITUDE)


def noise(rate_hz: int, seconds: float, seed: int) -> Pcm:
    """Return the noise floor of a quiet room: int16, shape ``(samples,)``, mono."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, NOISE_RMS, int(rate_hz * seconds)).astype(np.int16)


def chatter(rate_hz: int, seconds: float, seed: int) -> Pcm:
    """Return something as costly as speech: noise in syllables of 0.3 s with 0.1 s between them.

    The gaps matter: without them it would be a steady noise, which costs the service less than speech.
    """
    rng = np.random.default_rng(seed)
    samples = int(rate_hz * seconds)
    coloured = np.convolve(rng.normal(0, 1, samples + 15), np.hanning(16), "valid")[:samples]
    syllables = np.where(np.arange(samples) / rate_hz % 0.4 < 0.3, 1.0, 0.003)
    pcm: Pcm = (2500 * coloured / coloured.std() * syllables).clip(-32_000, 32_000).astype(np.int16)
    return pcm


@dataclass(frozen=True, slots=True)
class Onset:
    """A marker that came through.

    Attributes:
        at: when the packet or message that carries its onset arrived, monotonic seconds.
        sample: where the onset is in the stream, counted from its first sample.
    """

    at: float
    sample: int


class Detector:
    """Look for markers in a stream of 16 kHz mono."""

    def __init__(self) -> None:
        self.onsets: list[Onset] = []
        self.tone_samples: list[int] = []
        "For each onset, how long the tone lasted."
        self.audible_at = 0.0
        "When the latest packet arrived in which anything can be heard."
        self.samples = 0
        self._loud_until = -QUIET_BEFORE_SAMPLES

    def feed(self, pcm: Pcm, at: float) -> None:
        """Take what arrived: int16, shape ``(samples,)``, mono, 16 kHz."""
        if len(pcm) == 0:
            return
        level = np.abs(pcm)
        peak = int(level.max())
        if peak > AUDIBLE_LEVEL:
            self.audible_at = at
            if peak > ONSET_LEVEL:
                loud = np.flatnonzero(level > ONSET_LEVEL)
                self._found(self.samples + int(loud[0]), self.samples + int(loud[-1]), at)
        self.samples += len(pcm)

    def _found(self, first: int, last: int, at: float) -> None:
        if first - self._loud_until >= QUIET_BEFORE_SAMPLES:
            self.onsets.append(Onset(at, first))
            self.tone_samples.append(0)
        self.tone_samples[-1] += last - first + 1
        self._loud_until = last
