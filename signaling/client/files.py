"""The files that `talkspurt call` reads and writes: sound, and the state of an earlier call."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np

from agent.errors import ConfigError
from agent.media.fir import Pcm

SOUND_RATE_HZ = 48_000


def read_sound(path: Path) -> Pcm:
    """Read a sound file in any format that FFmpeg knows; return int16, shape ``(samples,)``, mono, 48 kHz.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SOUND_RATE_HZ)
            frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = "it has no sound" if isinstance(error, IndexError) else getattr(error, "strerror", None) or error
        raise ConfigError(f"flag --microphone = {str(path)!r}: cannot be read: {reason}") from None
    pieces = [frame.to_ndarray().reshape(-1) for frame in frames]
    return np.concatenate(pieces).astype(np.int16, copy=False) if pieces else np.zeros(0, np.int16)


def read_state(path: Path) -> str:
    """Read the state of an earlier call; the service checks it.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"flag --go-on-from = {str(path)!r}: cannot be read: {reason}") from None


def write_sound(path: Path, pcm: Pcm, rate_hz: int) -> None:
    """Write a WAV file: 16 bits, mono.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        with path.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(pcm.astype("<i2", copy=False).tobytes())
    except OSError as error:
        raise ConfigError(f"flag --record = {str(path)!r}: cannot be written: {error.strerror}") from None
