"""What callers say, encoded before anybody calls: the callers of a load test share it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.media.encode import voice_encoder
from agent.media.fir import Pcm
from agent.media.level import START_FRAMES, SpeechLevel
from agent.media.opus import OpusDecoder
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ

NOISE_FRAMES = 250
RAMP_FRAMES = 10  # the encoder's first packets, which are given away: it has to get used to the noise


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech as packets of 20 ms.

    Attributes:
        payloads: Opus packets.
        first_loud: the first packet that is loud enough to be speech, by the level that the service goes by, too.
        last_loud: the last one.
    """

    payloads: tuple[bytes, ...]
    first_loud: int
    last_loud: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.payloads) * FRAME_SAMPLES / VOICE_RATE_HZ


def clip_of(speech: Pcm, snr_db: float | None = None, seed: int = 0) -> Clip:
    """Encode speech, int16, shape ``(samples,)``, mono, 24 kHz; with noise so far below it, if that is given."""
    frames = -(-len(speech) // FRAME_SAMPLES)
    padded = np.zeros(max(frames, 1) * FRAME_SAMPLES, np.int16)
    padded[: len(speech)] = speech
    encode = voice_encoder("opus").encode
    payloads = tuple(encode(frame) for frame in _frames(padded))
    loud = _loud(payloads)
    if snr_db is not None:
        padded = _mix(padded, _noise(len(padded), _rms(speech), snr_db, seed))
        encode = voice_encoder("opus").encode
        payloads = tuple(encode(frame) for frame in _frames(padded))
    return Clip(payloads, loud[0] if loud else 0, loud[-1] if loud else len(payloads) - 1)


def quiet(speech: Pcm | None = None, snr_db: float | None = None, seed: int = 0) -> tuple[bytes, ...]:
    """Return what a caller sends who says nothing, to be repeated: silence, or noise so far below ``speech``."""
    encoder = voice_encoder("opus")
    if snr_db is None or speech is None:
        return (encoder.silence,)
    pcm = _noise((RAMP_FRAMES + NOISE_FRAMES) * FRAME_SAMPLES, _rms(speech), snr_db, seed)
    return tuple(encoder.encode(frame) for frame in _frames(pcm))[RAMP_FRAMES:]


def tone(hz: float, for_ms: float) -> Pcm:
    """Return a tone, int16, mono, 24 kHz, at -12 dBFS."""
    at = np.arange(int(VOICE_RATE_HZ * for_ms / 1000)) / VOICE_RATE_HZ
    wave: Pcm = (8192 * np.sin(2 * np.pi * hz * at)).astype(np.int16)
    return wave


def _loud(payloads: tuple[bytes, ...]) -> list[int]:
    """Return which packets are loud enough to be speech once they are decoded, from the first talkspurt on."""
    decoder, level = OpusDecoder(VOICE_RATE_HZ), SpeechLevel()
    loud = [index for index, payload in enumerate(payloads) if level.push(decoder.decode(payload))]
    # A single loud frame is a breath or a click; so many within five begin to be speech (agent/media/level.py).
    begins = next((at for at in loud if sum(at <= other < at + 5 for other in loud) >= START_FRAMES), 0)
    return [at for at in loud if at >= begins]


def _frames(pcm: Pcm) -> list[Pcm]:
    return [pcm[start : start + FRAME_SAMPLES] for start in range(0, len(pcm), FRAME_SAMPLES)]


def _rms(pcm: Pcm) -> float:
    """Return the effective value of what is not silence, so that pauses do not count as a quiet voice."""
    samples = pcm[np.abs(pcm.astype(np.int32)) > 100].astype(np.float64)
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0


def _noise(samples: int, voice_rms: float, snr_db: float, seed: int) -> Pcm:
    wave = np.random.default_rng(seed).normal(0.0, voice_rms * 10 ** (-snr_db / 20), samples)
    noise: Pcm = np.clip(wave, -32768, 32767).astype(np.int16)
    return noise


def _mix(speech: Pcm, noise: Pcm) -> Pcm:
    mixed: Pcm = np.clip(speech.astype(np.int32) + noise, -32768, 32767).astype(np.int16)
    return mixed
