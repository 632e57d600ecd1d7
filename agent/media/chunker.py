"""Cut the caller's audio into messages: small ones during speech, large ones in silence.

Every message costs the same, whatever its length, so silence is sent in 100 ms chunks. Speech is sent in 20 ms
chunks and never waits: its first frame takes all held audio with it. While the process is short of time,
speech is sent in 40 ms chunks, which makes a talking call cheaper and adds at most 20 ms of delay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.media.fir import Pcm

UPLINK_RATE_HZ = 16_000  # one rate per session: the Live server treats a change of rate as an error
FRAME_SAMPLES = UPLINK_RATE_HZ // 50
HURRIED_CHUNK_SAMPLES = 2 * FRAME_SAMPLES
SILENT_CHUNK_SAMPLES = UPLINK_RATE_HZ // 10
PATIENT_CHUNK_SAMPLES = UPLINK_RATE_HZ // 2  # before a session is replaced, so that few chunks cross its handle


class Chunker:
    """Collects 16 kHz audio and releases it in chunks; no sample is lost or reordered."""

    def __init__(self) -> None:
        self.silent_chunk_samples = SILENT_CHUNK_SAMPLES
        "How much silence is collected before it is released."
        self._held: list[NDArray[np.int16]] = []
        self._held_samples = 0

    def push(self, pcm: Pcm, *, urgent: bool, hurried: bool = False) -> Pcm | None:
        """Add audio.

        Args:
            pcm: int16, shape ``(samples,)``, mono, 16 kHz; may be empty.
            urgent: True while somebody speaks.
            hurried: True while the process is short of time.

        Returns:
            The next chunk, or None while it is being collected.
        """
        if len(pcm):
            self._held.append(pcm)
            self._held_samples += len(pcm)
        in_speech = HURRIED_CHUNK_SAMPLES if hurried else FRAME_SAMPLES
        enough = in_speech if urgent else self.silent_chunk_samples
        return self.take() if self._held_samples >= enough else None

    def take(self) -> Pcm | None:
        """Release all held audio, for example at the end of a call."""
        if not self._held:
            return None
        chunk = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held = []
        self._held_samples = 0
        return chunk
