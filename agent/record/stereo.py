"""Export a recording as stereo: the caller on the left, the agent on the right. Pure apart from the files.

Many players play only the first track of a recording. Two mono Opus streams become one stream with two channels
without being decoded: a multistream of two uncoupled streams (RFC 7845 section 5.1.1, mapping family 1). Each of
its packets holds the caller's packet, self-delimited, followed by the agent's. That requires one frame of 20 ms in
each packet, which is what browsers and the agent send; anything else is decoded and encoded again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from itertools import zip_longest
from typing import Any

import av
import numpy as np

from agent.errors import MediaError
from agent.record.opus import FRAME_TICKS, QUIET, RATE_HZ, frame_ticks, ogg_file
from agent.record.pcm import Pcm, mono_of

PRE_SKIP = 312
_SHORT_BYTES = 252


def self_delimited(packet: bytes) -> bytes:
    """Return a packet of code 0 in self-delimiting form, which includes its length (RFC 6716 appendix B)."""
    length = len(packet) - 1
    if length < _SHORT_BYTES:
        return packet[:1] + bytes([length]) + packet[1:]
    first = _SHORT_BYTES + (length & 3)
    return packet[:1] + bytes([first, (length - first) >> 2]) + packet[1:]


def is_plain(packet: bytes) -> bool:
    """Return whether a packet is one frame of 20 ms (code 0), as `joined` requires."""
    return packet[0] & 3 == 0 and frame_ticks(packet[0]) == FRAME_TICKS


def joined(callers: Sequence[bytes], agents: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the packets of a stereo stream; the shorter side is padded with silence.

    Args:
        callers: the caller's packets of 20 ms, for each of which `is_plain` is true.
        agents: the agent's packets, likewise.
    """
    for caller, agent in zip_longest(callers, agents, fillvalue=QUIET):
        yield self_delimited(caller) + agent


def export_stereo(source: str, target: str) -> bool:
    """Write a recording as a stereo file.

    Args:
        source: the path of a recording.
        target: the path of a new file; its suffix chooses the format: .webm, .ogg or .mka (lossless).

    Returns:
        True if nothing had to be decoded.

    Raises:
        MediaError: the source is not a recording with two tracks.
    """
    try:
        with av.open(source, "r") as recording:
            if len(recording.streams.audio) != 2:
                raise MediaError(f"{source} is no recording of a call: it has not two audio tracks")
            names = [stream.codec_context.name for stream in recording.streams.audio]
            sides: tuple[list[bytes], list[bytes]] = ([], [])
            for packet in recording.demux():
                if packet.size:
                    sides[packet.stream.index].append(bytes(packet))
        if names == ["opus", "opus"] and not target.endswith(".mka") and all(map(is_plain, sides[0] + sides[1])):
            _write_joined(sides, target)
            return True
        _write_encoded(source, target)
    except av.FFmpegError as error:
        raise MediaError(f"{source} cannot be exported to {target}: {error}") from None
    return False


def _write_joined(sides: tuple[list[bytes], list[bytes]], target: str) -> None:
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, PRE_SKIP, RATE_HZ, 0, 1) + bytes([2, 0, 0, 1])
    template = av.open(BytesIO(ogg_file(head, self_delimited(QUIET) + QUIET)), "r", format="ogg")
    with template, av.open(target, "w") as out:
        stream = out.add_stream_from_template(template.streams.audio[0])
        for number, data in enumerate(joined(*sides)):
            packet: av.Packet[Any] = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, RATE_HZ)
            packet.pts = packet.dts = number * FRAME_TICKS
            packet.duration = FRAME_TICKS
            out.mux(packet)


def _write_encoded(source: str, target: str) -> None:
    none = np.zeros(0, np.int16)
    with av.open(target, "w") as out:
        stream = out.add_stream("flac" if target.endswith(".mka") else "libopus", rate=RATE_HZ, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        start = 0
        for left, right in zip_longest(_seconds(source, 0), _seconds(source, 1), fillvalue=none):
            stereo = np.zeros((max(len(left), len(right)), 2), np.int16)
            stereo[: len(left), 0], stereo[: len(right), 1] = left, right
            frame = av.AudioFrame.from_ndarray(stereo.reshape(1, -1), format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            start += len(stereo)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _seconds(source: str, index: int) -> Iterator[Pcm]:
    """Yield one track second by second: int16, shape ``(48000,)``, the last one shorter, mono, 48 kHz."""
    resample = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ, frame_size=RATE_HZ)
    with av.open(source, "r") as recording:
        for frame in recording.decode(recording.streams.audio[index]):
            frame.pts = None  # the track has no gaps, so timestamps are not needed, whatever the first one is
            for each in resample.resample(frame):
                yield mono_of(each)
        for each in resample.resample(None):
            yield mono_of(each)
