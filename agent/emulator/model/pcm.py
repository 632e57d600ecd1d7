"""Sample rates and loudness, as simple as a demo allows. The service has its own resampler, in agent/media."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

HEARD_HZ = 16_000
SPOKEN_HZ = 24_000
_SPEECH_RMS = 0.1  # -20 dBFS, normal speech in telephony
_MAX_PEAK = 0.9


def resample_chunk(pcm: Pcm, rate_hz: int, to_hz: int = HEARD_HZ) -> Pcm:
    """Resample a chunk of a stream, linearly and without memory of the chunk before.

    Args:
        pcm: int16, shape ``(samples,)``, mono, at ``rate_hz``.
        rate_hz: the rate it has.
        to_hz: the rate wanted.
    """
    if rate_hz == to_hz or not pcm.size:
        return pcm
    count = round(pcm.size * to_hz / rate_hz)
    at = np.arange(count) * (rate_hz / to_hz)
    out: Pcm = np.interp(at, np.arange(pcm.size), pcm).astype(np.int16)
    return out


def resample_whole(pcm: Pcm, rate_hz: int, to_hz: int) -> Pcm:
    """Resample a whole recording through its spectrum; int16, shape ``(samples,)``, mono."""
    if rate_hz == to_hz or not pcm.size:
        return pcm
    size = -(-pcm.size // rate_hz) * rate_hz  # whole seconds, so that both rates divide it
    out_size = size * to_hz // rate_hz
    spectrum = np.fft.rfft(pcm.astype(np.float64), size)
    wanted = np.zeros(out_size // 2 + 1, dtype=np.complex128)
    shared = min(spectrum.size, wanted.size)
    wanted[:shared] = spectrum[:shared]
    out = np.fft.irfft(wanted, out_size) * (to_hz / rate_hz)
    count = round(pcm.size * to_hz / rate_hz)
    return np.clip(out[:count], -32768, 32767).astype(np.int16)


def level_speech(pcm: Pcm) -> Pcm:
    """The same speech at -20 dBFS RMS, or less where its peaks would pass 0.9 of full scale."""
    samples = pcm.astype(np.float64) / 32768
    rms = float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0
    if rms < 1e-6:
        return pcm
    gain = min(_SPEECH_RMS / rms, _MAX_PEAK / float(np.abs(samples).max()))
    return (samples * gain * 32768).astype(np.int16)


def trim_silence(pcm: Pcm, rate_hz: int, keep_s: float = 0.03) -> Pcm:
    """The recording without the silence before and after it."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 200)
    if not loud.size:
        return pcm
    keep = int(keep_s * rate_hz)
    return pcm[max(0, int(loud[0]) - keep) : int(loud[-1]) + keep]
