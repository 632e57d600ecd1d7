"""Sounds to send, and how to recognise them on the other side. Samples are int16, mono."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.media.fir import Pcm


def tone(frequency_hz: float, rate_hz: int, seconds: float, amplitude: float = 8000) -> Pcm:
    """Return a sine."""
    angle = 2 * np.pi * frequency_hz * np.arange(int(rate_hz * seconds)) / rate_hz
    return np.rint(amplitude * np.sin(angle)).astype(np.int16)


def rms(pcm: Pcm) -> float:
    """Return how loud that is: 0 for nothing, 5657 for `tone`."""
    return float(np.sqrt(np.mean(pcm.astype(float) ** 2))) if len(pcm) else 0.0


def peak_hz(pcm: Pcm, rate_hz: int) -> float:
    """Return the frequency with the most power."""
    spectrum: NDArray[np.float64] = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate_hz / len(pcm))


def snr_db(pcm: Pcm, rate_hz: int, frequency_hz: float) -> float:
    """Return the power of the best-fitting sine of that frequency against all else."""
    angle = 2 * np.pi * frequency_hz * np.arange(len(pcm)) / rate_hz
    parts = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fitted = parts @ np.linalg.lstsq(parts, pcm.astype(float), rcond=None)[0]
    return float(10 * np.log10(np.sum(fitted**2) / np.sum((pcm - fitted) ** 2)))
