"""Sample-rate conversion for speech: a stateful polyphase FIR filter as one small matrix product.

Frame-by-frame conversion without state damages every frame boundary (about 35 dB SINAD with an FFT per frame). Here
the last input samples are kept between calls, so that the output does not depend on how the signal is cut into
frames, except in the last bit (BLAS adds in varying order). The taps are a Kaiser window design
(``scipy.signal.firwin``).

The product works in blocks: ``down`` input samples become ``up`` output samples, and each output sample is a fixed
weighted sum of neighbouring input samples. Multiplying overlapping input windows (a view, not a copy) by a banded
matrix takes one BLAS call per frame.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from scipy.signal import firwin

from agent.errors import MediaError

Pcm = NDArray[np.int16]

STOPBAND_DB = 90.0  # below the quantisation noise of 16-bit speech
STOPBAND_EDGE = 0.5395  # as a fraction of the lower rate: 8.63 kHz at 16 kHz
CUTOFF = 0.484  # middle of the transition band, as a fraction of the lower rate: 7.74 kHz at 16 kHz
MIN_BLOCK_SAMPLES = 60  # smaller blocks of input cost more in call overhead than they save
MAX_PHASES = 640  # bounds the size of the filter when an untrusted peer chooses the rate
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 192_000


@lru_cache(maxsize=32)
def _design(rate_in_hz: int, rate_out_hz: int) -> tuple[NDArray[np.float32], int, int]:
    """Return the banded matrix ``(window, outputs)``, a block's number of input samples, and the history length."""
    shared = gcd(rate_in_hz, rate_out_hz)
    up, down = rate_out_hz // shared, rate_in_hz // shared
    lower = min(rate_in_hz, rate_out_hz)
    design_rate = rate_in_hz * up
    half_width = (STOPBAND_EDGE - CUTOFF) * lower
    beta = 0.1102 * (STOPBAND_DB - 8.7)  # Kaiser's formula
    taps_exact = (STOPBAND_DB - 7.95) / (2.285 * 2 * np.pi * 2 * half_width / design_rate)
    per_phase = int(np.ceil(taps_exact / up))
    taps = firwin(per_phase * up, CUTOFF * lower, window=("kaiser", beta), fs=design_rate) * up

    step = _block_samples(rate_in_hz, down)
    outputs = step // down * up
    matrix = np.zeros((step + per_phase - 1, outputs))
    for output in range(outputs):
        # Output n is at n * down on the common (up-sampled) grid; every up-th grid point is an input sample.
        newest, phase = divmod(output * down, up)
        weights = taps[phase::up]
        matrix[newest : newest + per_phase, output] = weights[::-1]
    return matrix.astype(np.float32), step, per_phase - 1


def _block_samples(rate_in_hz: int, down: int) -> int:
    """Return a block size that divides 20 ms of input, if there is one, so that no part of a frame is held back."""
    frame = rate_in_hz // 50
    for step in range(-(-MIN_BLOCK_SAMPLES // down) * down, frame + 1, down):
        if frame % step == 0:
            return step
    return -(-MIN_BLOCK_SAMPLES // down) * down


class FirResampler:
    """Converts mono speech from one rate to another, keeping state between calls.

    Input may have any length. The output is exact over time, ``rate_out / rate_in`` samples per input sample; if
    the input length is not a multiple of a block, less than a block is held back.

    Args:
        rate_in_hz: rate of the samples pushed.
        rate_out_hz: rate of the samples returned.

    Raises:
        MediaError: a rate is out of range, or the two have no small ratio.
    """

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        for rate in (rate_in_hz, rate_out_hz):
            if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
                raise MediaError(f"cannot convert audio at {rate} Hz: expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
        shared = gcd(rate_in_hz, rate_out_hz)
        if max(rate_in_hz, rate_out_hz) // shared > MAX_PHASES:
            raise MediaError(f"cannot convert audio from {rate_in_hz} to {rate_out_hz} Hz: no small ratio")
        self.rate_in_hz = rate_in_hz
        self.rate_out_hz = rate_out_hz
        self._same = rate_in_hz == rate_out_hz
        if not self._same:
            self._matrix, self._step, history = _design(rate_in_hz, rate_out_hz)
            self._kept = np.zeros(history, np.float32)
            self._history = history

    def push(self, pcm: Pcm) -> Pcm:
        """Convert the next samples.

        Args:
            pcm: int16, shape ``(samples,)``, mono, at ``rate_in_hz``; may be empty.

        Returns:
            int16, shape ``(samples,)``, mono, at ``rate_out_hz``; may be empty.
        """
        if self._same:
            return pcm
        window = np.concatenate((self._kept, pcm), dtype=np.float32)
        blocks = (len(window) - self._history) // self._step
        if blocks == 0:
            self._kept = window
            return np.empty(0, np.int16)
        stride = window.itemsize
        rows = as_strided(
            window, (blocks, self._step + self._history), (self._step * stride, stride), writeable=False
        )
        product = rows @ self._matrix
        self._kept = window[blocks * self._step :].copy()
        np.rint(product, out=product)
        np.clip(product, -32768, 32767, out=product)
        converted: Pcm = product.astype(np.int16).reshape(-1)
        return converted


def to_mono(interleaved: Pcm, channels: int) -> Pcm:
    """Average the channels.

    Args:
        interleaved: int16, shape ``(samples * channels,)``.
        channels: 1 or more.

    Returns:
        int16, shape ``(samples,)``.
    """
    if channels == 1:
        return interleaved
    if channels == 2:
        # Shifting each channel first stays within int16: no overflow, and no temporary array of a wider type.
        left, right = interleaved[0::2], interleaved[1::2]
        halved: Pcm = (left >> 1) + (right >> 1) + (left & right & 1)
        return halved
    mixed: Pcm = interleaved.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return mixed
