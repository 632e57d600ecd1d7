"""Sounds that a scenario's caller makes: int16, shape ``(samples,)``, mono, 24 kHz. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.media.fir import Pcm

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
LOUD = 32
"A sample beyond this can be heard; as `agent.media.level.is_audible` has it."
VOICE_RMS = 3_276.8
"Of speech at -20 dBFS, which the speech pack has."
TONE_AMPLITUDE = 8_000
NOISE_S = 5
_FADE_S = 0.005


def tone(hz: float, for_ms: float) -> Pcm:
    """Return a tone that fades in and out within 5 ms."""
    count = round(for_ms * RATE_HZ / 1000)
    wave = TONE_AMPLITUDE * np.sin(2 * np.pi * hz * np.arange(count) / RATE_HZ)
    fade = np.minimum(1.0, np.arange(1, count + 1) / (RATE_HZ * _FADE_S))
    return (wave * fade * fade[::-1]).astype(np.int16)


def rms_of(pcm: Pcm) -> float:
    """Return the level of a recording's audible parts; of a silent one, that of ordinary speech."""
    frames = pcm[: pcm.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES).astype(np.float64)
    loud = frames[np.abs(frames).max(axis=1) > LOUD] if frames.size else frames
    return float(np.sqrt(np.mean(loud**2))) if loud.size else VOICE_RMS


def noise(rms: float, seed: int) -> NDArray[np.float32]:
    """Return five seconds of pink noise, made to be repeated without a click.

    Args:
        rms: its level, in samples.
        seed: the same seed makes the same noise.
    """
    size = RATE_HZ * NOISE_S
    rng = np.random.default_rng(seed)
    bins = np.fft.rfftfreq(size, 1 / RATE_HZ)
    spectrum = rng.normal(size=bins.size) + 1j * rng.normal(size=bins.size)
    spectrum *= np.where((bins >= 50) & (bins <= 10_000), 1 / np.sqrt(np.maximum(bins, 1)), 0)
    wave = np.fft.irfft(spectrum, size)
    found: NDArray[np.float32] = (wave * (rms / np.sqrt(np.mean(wave**2)))).astype(np.float32)
    return found


def loud_part(pcm: Pcm) -> tuple[int, int] | None:
    """Return the first audible sample and the one after the last; None if nothing is audible."""
    found = np.flatnonzero((pcm > LOUD) | (pcm < -LOUD))
    return (int(found[0]), int(found[-1]) + 1) if found.size else None
