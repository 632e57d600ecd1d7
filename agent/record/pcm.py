"""Decode what is recorded as FLAC: telephone codecs, and PCM from callers whose packets cannot be tapped. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import av
import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]
Decode = Callable[[bytes], Pcm]
"""Turns a payload into int16, shape ``(samples,)``, mono."""

RATES_HZ = {"pcmu": 8_000, "pcma": 8_000, "g722": 16_000, "l16": 16_000, "opus": 48_000}
"""Sampling rates by codec."""
_G711 = {"pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}


def decoder(codec: str) -> Decode:
    """Return a decoder for one stream; it raises `av.FFmpegError` for payloads that it cannot decode.

    Args:
        codec: a key of `RATES_HZ`.
    """
    if codec in _G711:
        table = _table(_G711[codec])
        return lambda payload: table[np.frombuffer(payload, np.uint8)]
    if codec == "l16":
        return lambda payload: np.frombuffer(payload, np.int16)
    context = _context("libopus" if codec == "opus" else codec, RATES_HZ[codec])
    return lambda payload: _decode(context, payload)


def resampler(rate_hz: int, to_hz: int) -> Callable[[Pcm], Pcm]:
    """Return a function that converts one stream's int16 mono samples to another rate."""
    if rate_hz == to_hz:
        return lambda pcm: pcm
    resample = av.AudioResampler(format="s16", layout="mono", rate=to_hz)

    def convert(pcm: Pcm) -> Pcm:
        return _joined(resample.resample(frame_of(pcm, rate_hz))) if len(pcm) else pcm

    return convert


def frame_of(pcm: Pcm, rate_hz: int) -> av.AudioFrame:
    """Return int16 mono samples as a frame."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate_hz
    return frame


@cache
def _table(name: str) -> Pcm:
    """Return the 256 samples that G.711 can encode."""
    return _decode(_context(name, 8_000), bytes(range(256)))


def _context(name: str, rate_hz: int) -> av.AudioCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, av.AudioCodecContext)
    context.format = "s16"
    context.layout = "mono"
    context.sample_rate = rate_hz
    context.thread_count = 1
    return context


def _decode(context: av.AudioCodecContext, payload: bytes) -> Pcm:
    return _joined(context.decode(av.Packet(payload)))


def _joined(frames: list[av.AudioFrame]) -> Pcm:
    parts = [mono_of(frame) for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def mono_of(frame: av.AudioFrame) -> Pcm:
    """Return a frame of 16-bit samples as int16, shape ``(samples,)``, mono."""
    samples = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1) if not frame.format.is_planar else samples.mean(axis=0)
    return np.asarray(samples, np.int16).reshape(-1)
