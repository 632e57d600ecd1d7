"""The caller's voice from decoded frames: any rate and channel count to 16 kHz mono, with no time missing.

aiortc drops what was lost or not sent and shows it only as a jump of ``frame.pts``. Such gaps are filled with
silence here, so that the model's clock never runs behind the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from agent.errors import MediaError
from agent.media.chunker import UPLINK_RATE_HZ
from agent.media.fir import FirResampler, Pcm, to_mono

CallerTrack = MediaStreamTrack

LONGEST_GAP_S = 30.0  # a longer jump is a new stream, not time that passed


@dataclass(slots=True)
class InboundStats:
    """Counters of one inbound voice, in samples of 16 kHz."""

    samples: int = 0
    filled_samples: int = 0
    "Samples that were missing and were filled with silence."
    restarts: int = 0
    "Times that the stream's timestamps jumped to somewhere else."


class FrameInlet:
    """Turn audio frames into 16 kHz mono, gaps filled."""

    def __init__(self) -> None:
        self.stats = InboundStats()
        self._resampler: FirResampler | None = None
        self._next_pts: int | None = None

    def push(self, frame: av.AudioFrame) -> Pcm:
        """Convert one frame.

        Args:
            frame: signed 16-bit, packed, any rate and layout, its pts counting samples.

        Returns:
            int16, shape ``(samples,)``, mono, 16 kHz: the silence that was missing, then the frame.

        Raises:
            MediaError: the frame's format is not signed 16-bit.
        """
        if frame.format.name not in ("s16", "s16p"):
            raise MediaError(f"cannot use audio frames of format {frame.format.name}: expected s16")
        resampler = self._resampler
        if resampler is None or resampler.rate_in_hz != frame.sample_rate:
            resampler = self._resampler = FirResampler(frame.sample_rate, UPLINK_RATE_HZ)
            self._next_pts = None
        samples: Pcm = frame.to_ndarray().astype(np.int16, copy=False)
        interleaved = samples.T if frame.format.is_planar else samples
        mono = to_mono(interleaved.reshape(-1), frame.layout.nb_channels)
        gap = self._missing(frame)
        if gap:
            silence = resampler.push(np.zeros(gap, np.int16))
            self.stats.filled_samples += len(silence)
            pcm = np.concatenate((silence, resampler.push(mono)))
        else:
            pcm = resampler.push(mono)
        self.stats.samples += len(pcm)
        return pcm

    def _missing(self, frame: av.AudioFrame) -> int:
        """Return how many samples at the frame's rate are missing before it."""
        if frame.pts is None:
            return 0
        expected, self._next_pts = self._next_pts, frame.pts + frame.samples
        if expected is None or frame.pts == expected:
            return 0
        gap: int = frame.pts - expected
        if not 0 < gap <= LONGEST_GAP_S * frame.sample_rate:
            self.stats.restarts += 1
            return 0
        return gap


async def listen(track: CallerTrack, on_pcm: Callable[[Pcm], None]) -> InboundStats:
    """Hand the caller's voice to ``on_pcm`` (as `FrameInlet.push` returns it) until the track ends."""
    inlet = FrameInlet()
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return inlet.stats
        assert isinstance(frame, av.AudioFrame)
        on_pcm(inlet.push(frame))
