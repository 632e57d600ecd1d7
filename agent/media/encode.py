"""Encode the agent's voice for the negotiated codec: one packet per 20 ms frame, with no buffering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from agent.errors import MediaError
from agent.media import opus
from agent.media.fir import FirResampler, Pcm
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ
from agent.media.tap.encoder import encode_whole

OPUS_BITRATE_BPS = 44_000  # with CELT, closer to the original than SILK at 32 kbit/s, and cheaper
OPUS_COMPLEXITY = 5

SILENCE = np.zeros(FRAME_SAMPLES, np.int16)

_G711_G722 = {"pcmu": ("pcm_mulaw", 8_000), "pcma": ("pcm_alaw", 8_000), "g722": ("g722", 16_000)}


@dataclass(frozen=True, slots=True)
class VoiceEncoder:
    """One call's encoder.

    Attributes:
        encode: takes int16, shape ``(480,)``, mono, 24 kHz; returns the bytes of one packet.
        silence: the packet that the codec produces for continuous digital silence.
        clock_hz: the codec's RTP clock.
    """

    encode: Callable[[Pcm], bytes]
    silence: bytes
    clock_hz: int


def voice_encoder(codec: str) -> VoiceEncoder:
    """Make an encoder.

    Args:
        codec: the codec's name in SDP: opus, PCMU, PCMA or G722, in upper or lower case.

    Raises:
        MediaError: it is another codec.
    """
    name = codec.lower()
    if name == "opus":
        # RFC 7587 section 4.1: Opus's RTP clock is 48 kHz, whatever the audio's rate.
        return VoiceEncoder(_opus(), _opus_silence(), clock_hz=48_000)
    if name in _G711_G722:
        encode = _g711_g722(*_G711_G722[name])
        # RFC 3551 section 4.5.2: G.722's RTP clock is 8 kHz, although it samples at 16 kHz.
        return VoiceEncoder(encode, [encode(SILENCE) for _ in range(10)][-1], clock_hz=8_000)
    raise MediaError(f"cannot encode {codec}: expected opus, PCMU, PCMA or G722")


def _opus() -> Callable[[Pcm], bytes]:
    if opus.available():
        return opus.OpusEncoder(VOICE_RATE_HZ, bitrate_bps=OPUS_BITRATE_BPS, complexity=OPUS_COMPLEXITY).encode
    codec = _codec_context("libopus", VOICE_RATE_HZ)
    codec.bit_rate = OPUS_BITRATE_BPS
    codec.options = {
        "application": "lowdelay",
        "compression_level": str(OPUS_COMPLEXITY),
        "vbr": "constrained",
    }
    return lambda pcm: _encode(codec, pcm)


@lru_cache(maxsize=1)
def _opus_silence() -> bytes:
    encode = _opus()
    return [encode(SILENCE) for _ in range(50)][-1]


def _g711_g722(name: str, rate_hz: int) -> Callable[[Pcm], bytes]:
    codec = _codec_context(name, rate_hz)
    resampler = FirResampler(VOICE_RATE_HZ, rate_hz)
    return lambda pcm: _encode(codec, resampler.push(pcm))


def _codec_context(name: str, rate_hz: int) -> av.AudioCodecContext:
    codec = av.CodecContext.create(name, "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.format = "s16"
    codec.layout = "mono"
    codec.sample_rate = rate_hz
    codec.thread_count = 1
    codec.time_base = Fraction(1, rate_hz)
    return codec


def _encode(codec: av.AudioCodecContext, pcm: Pcm) -> bytes:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = codec.sample_rate
    return encode_whole(codec, frame)
