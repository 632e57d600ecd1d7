"""Convert the model's audio from bytes, at the rate given by their MIME type, to 24 kHz samples."""

from __future__ import annotations

import numpy as np

from agent.media.fir import FirResampler, Pcm
from agent.media.playout import VOICE_RATE_HZ


class VoiceReader:
    """Reads one session's audio; a sample that is split between two messages is put together again."""

    def __init__(self) -> None:
        self._resampler: FirResampler | None = None
        self._odd_byte = b""

    def read(self, pcm_bytes: bytes, rate_hz: int) -> Pcm:
        """Convert the next bytes.

        Args:
            pcm_bytes: little-endian 16-bit mono at ``rate_hz``.
            rate_hz: the rate stated by the server; untrusted.

        Returns:
            int16, shape ``(samples,)``, mono, 24 kHz.

        Raises:
            MediaError: the rate is not one for speech.
        """
        if self._odd_byte:
            pcm_bytes = self._odd_byte + pcm_bytes
        whole = len(pcm_bytes) & ~1
        self._odd_byte = pcm_bytes[whole:]
        pcm = np.frombuffer(pcm_bytes, "<i2", count=whole // 2)
        if rate_hz == VOICE_RATE_HZ:
            self._resampler = None
            return pcm
        if self._resampler is None or self._resampler.rate_in_hz != rate_hz:
            self._resampler = FirResampler(rate_hz, VOICE_RATE_HZ)
        return self._resampler.push(pcm)

    def reset(self) -> None:
        """Forget a partly read sample, for example at a new generation."""
        self._resampler = None
        self._odd_byte = b""
