"""Make sound for recordings, and read recordings back."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from agent.media.encode import voice_encoder
from agent.media.fir import Pcm
from agent.record.tape import CLOCKS_HZ, Packet, Side

VOICE_HZ = 24_000
Sound = npt.NDArray[np.float64]


def beeps(at_s: list[float], length_s: float, hz: float = 1000.0) -> Pcm:
    """Return 24 kHz with a beep of 100 ms at each time."""
    pcm = np.zeros(round(length_s * VOICE_HZ), np.int16)
    beep = (8000 * np.sin(2 * np.pi * hz * np.arange(VOICE_HZ // 10) / VOICE_HZ)).astype(np.int16)
    for when_s in at_s:
        start = round(when_s * VOICE_HZ)
        pcm[start : start + len(beep)] = beep
    return pcm


def payloads(pcm: Pcm, codec: str = "opus") -> Iterator[bytes]:
    """Yield 24 kHz as packets of 20 ms."""
    encoder = voice_encoder(codec)
    for start in range(0, len(pcm) - 479, 480):
        yield encoder.encode(pcm[start : start + 480])


def packets(side: Side, pcm: Pcm, codec: str = "opus", begins_at: float = 1000.0, first: int = 0) -> list[Packet]:
    """Return 24 kHz as one side's packets, each as it comes on a perfect line."""
    ticks = CLOCKS_HZ[codec] // 50
    return [
        Packet(side, codec, begins_at + number * 0.02, first + number * ticks, ticks, payload)
        for number, payload in enumerate(payloads(pcm, codec))
    ]


def tracks(path: Path) -> list[Sound]:
    """Return what a reader that ignores timestamps gets: each track, or each channel of the only one, at 48 kHz."""
    with av.open(str(path)) as file:
        count = len(file.streams.audio)
    found: list[Sound] = []
    for index in range(count):
        with av.open(str(path)) as file:
            stream = file.streams.audio[index]
            channels = stream.codec_context.channels
            resample = av.AudioResampler(format="s16", layout="stereo" if channels == 2 else "mono", rate=48_000)
            parts = []
            for frame in [*file.decode(stream), None]:
                if frame is not None:
                    frame.pts = None
                parts += [each.to_ndarray().reshape(-1, channels) for each in resample.resample(frame)]
        samples = np.concatenate(parts).astype(np.float64)
        found += [samples[:, channel] for channel in range(channels)]
    return found


def onsets_s(sound: Sound, level: float = 2000.0) -> list[float]:
    """Return when each beep begins."""
    loud = np.flatnonzero(np.abs(sound) > level)
    begins = loud[np.flatnonzero(np.diff(loud, prepend=-(10**9)) > 4800)]
    return [float(sample) / 48_000 for sample in begins]


def timed_onsets_s(path: Path, index: int) -> list[float]:
    """Return when each beep of a track begins, for a reader that honours timestamps."""
    with av.open(str(path)) as file:
        found: list[float] = []
        for frame in file.decode(file.streams.audio[index]):
            assert frame.pts is not None
            assert frame.time_base is not None
            samples = frame.to_ndarray().astype(np.float64).reshape(-1)
            scale = 1.0 if frame.format.name.startswith("s16") else 32768.0
            loud = np.flatnonzero(np.abs(samples * scale) > 2000.0)
            if len(loud):
                at_s = float(frame.pts * Fraction(frame.time_base)) + float(loud[0]) / frame.sample_rate
                if not found or at_s - found[-1] > 0.15:
                    found.append(at_s)
    return found
