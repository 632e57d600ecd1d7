"""Decode a caller's packets to 16 kHz mono, and fill the gaps left by those that did not arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np

from agent.errors import MediaError
from agent.media import opus
from agent.media.chunker import UPLINK_RATE_HZ
from agent.media.fir import FirResampler, Pcm, to_mono

MAX_CONCEALED_SAMPLES = 6 * 320  # 120 ms: a speech model hears longer concealment as noise
CONCEAL_STEP_SAMPLES = 40  # libopus conceals in steps of 2.5 ms


class Decoder(Protocol):
    """Turns packets and gaps into 16 kHz mono; gaps get exactly the length that was asked for."""

    def decode(self, payload: bytes) -> Pcm:
        """Decode one packet; raises MediaError if it cannot be decoded."""

    def make_up(self, samples: int, *, lost: bool, next_payload: bytes | None) -> Pcm:
        """Return exactly ``samples`` for a gap: see `agent.media.reorder.Missing`."""

    def reset(self) -> None:
        """Forget the past audio."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec that callers may use.

    Attributes:
        clock_hz: its RTP clock.
        ticks: returns the length of a packet on that clock from its payload; 0 if it is invalid.
        decoder: makes a decoder for one stream.
        dtx_bytes: a packet of at most this size means that there is nothing to hear; 0 if the codec has none.
    """

    clock_hz: int
    ticks: Callable[[bytes], int]
    decoder: Callable[[], Decoder]
    dtx_bytes: int = 0


def opus_ticks(payload: bytes) -> int:
    """Return a packet's length at 48 kHz from its table of contents (RFC 6716 section 3.1); 0 if it is invalid."""
    if not payload:
        return 0
    configuration, code = payload[0] >> 3, payload[0] & 3
    if configuration < 12:
        frame = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:
        frame = (480, 960)[configuration & 1]
    else:
        frame = (120, 240, 480, 960)[configuration & 3]
    if code == 3 and len(payload) < 2:
        return 0
    ticks = frame * (payload[1] & 0x3F if code == 3 else (1, 2, 2)[code])
    return ticks if ticks <= 5760 else 0  # at most 120 ms


class _LibopusDecoder:
    def __init__(self) -> None:
        self._decoder = opus.OpusDecoder(UPLINK_RATE_HZ)

    def decode(self, payload: bytes) -> Pcm:
        return self._decoder.decode(payload)

    def make_up(self, samples: int, *, lost: bool, next_payload: bytes | None) -> Pcm:
        """Conceal the beginning, use the next packet's FEC for the end, and fill the middle with silence."""
        pcm = np.zeros(samples, np.int16)
        if not lost:
            return pcm
        tail = min(opus_ticks(next_payload) // 3, samples) if next_payload else 0
        tail -= tail % CONCEAL_STEP_SAMPLES
        concealed = min(samples - tail, MAX_CONCEALED_SAMPLES)
        concealed -= concealed % CONCEAL_STEP_SAMPLES
        try:
            if concealed:
                pcm[:concealed] = self._decoder.conceal(concealed)
            if tail and next_payload:
                pcm[samples - tail :] = self._decoder.recover(next_payload, tail)
        except MediaError:
            pass  # the next packet is damaged: leave silence
        return pcm

    def reset(self) -> None:
        self._decoder.reset()


class _PyavDecoder:
    """A PyAV decoder and the FIR; a gap is silence."""

    def __init__(self, name: str, rate_hz: int, channels: int) -> None:
        self._name, self._rate_hz, self._channels = name, rate_hz, channels
        self.reset()

    def reset(self) -> None:
        codec = av.CodecContext.create(self._name, "r")
        assert isinstance(codec, av.AudioCodecContext)
        codec.format = "s16"
        codec.layout = "stereo" if self._channels == 2 else "mono"
        codec.sample_rate = self._rate_hz
        codec.thread_count = 1
        self._codec = codec
        self._resampler = FirResampler(self._rate_hz, UPLINK_RATE_HZ)

    def decode(self, payload: bytes) -> Pcm:
        try:
            frames = self._codec.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise MediaError(f"{self._name}: {type(error).__name__}") from None
        parts = [to_mono(frame.to_ndarray().astype(np.int16).reshape(-1), self._channels) for frame in frames]
        return self._resampler.push(np.concatenate(parts) if parts else np.zeros(0, np.int16))

    def make_up(self, samples: int, *, lost: bool, next_payload: bytes | None) -> Pcm:
        del lost, next_payload
        return np.zeros(samples, np.int16)


def _opus_decoder() -> Decoder:
    return _LibopusDecoder() if opus.available() else _PyavDecoder("libopus", 48_000, 2)


CODECS = {
    # DTX: a frame of no or one byte (RFC 7587 section 3.1.3); decoding it would prolong the last sound by 20 ms.
    "opus": Codec(48_000, opus_ticks, _opus_decoder, dtx_bytes=2),
    "pcmu": Codec(8_000, len, lambda: _PyavDecoder("pcm_mulaw", 8_000, 1)),
    "pcma": Codec(8_000, len, lambda: _PyavDecoder("pcm_alaw", 8_000, 1)),
    "g722": Codec(8_000, len, lambda: _PyavDecoder("g722", 16_000, 1)),
}
"""Codecs by lower-case name in SDP. G.722's RTP clock is 8 kHz by an old mistake (RFC 3551 section 4.5.2)."""
