"""Recordings as the service makes them: both sides as tracks of one WebM file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from agent.media.fir import Pcm

RATE_HZ = 48_000


def tone(hz: float, begin_s: float, end_s: float, length_s: float, level: float = 0.5) -> Pcm:
    """Return silence with a tone in it: int16, mono, 48 kHz."""
    pcm = np.zeros(int(length_s * RATE_HZ), np.int16)
    at = np.arange(int((end_s - begin_s) * RATE_HZ))
    begin = int(begin_s * RATE_HZ)
    pcm[begin : begin + len(at)] = (level * 32767 * np.sin(2 * np.pi * hz * at / RATE_HZ)).astype(np.int16)
    return pcm


def write_sides(path: Path, *sides: Pcm) -> Path:
    """Write each side, int16, mono, 48 kHz, as an Opus track of its own; the packets of all are interleaved."""
    with av.open(str(path), "w", format="webm") as file:
        packets = []
        for pcm in sides:
            stream = file.add_stream("libopus", rate=RATE_HZ, layout="mono")
            frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
            packets += [*stream.encode(frame), *stream.encode(None)]
        for packet in sorted(packets, key=lambda each: (each.dts or 0) * (each.time_base or 0)):
            file.mux(packet)
    return path
