"""Write one call's recording: two mono tracks in one Matroska file, muxed as the packets come.

Opus is not decoded, and the file is WebM. Matroska does not support telephone codecs, so they become FLAC in a
``.mka`` file.
Whatever has been flushed can be read even if the process is killed; an unfinished file's name ends in ``.part``.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from agent.record.opus import FRAME_TICKS, QUIET, RATE_HZ, filler, mono_head, ogg_file
from agent.record.pcm import RATES_HZ, Decode, Pcm, decoder, frame_of, resampler
from agent.record.tape import SIDES, Piece, Side

PART = ".part"
SUFFIXES = (".webm", ".mka")
OPTIONS = {"max_interleave_delta": "1", "cluster_time_limit": "800", "flush_packets": "1"}
"""With FFmpeg's defaults, nothing at all would be left of a file whose process was killed."""
MUX_ERRORS = (OSError, av.FFmpegError, av.error.PyAVCallbackError)
"""The errors that PyAV raises if a file cannot be written."""

# libopus's delay, and the smaller one of our own encoder
_PRE_SKIPS: dict[Side, int] = {"caller": 312, "agent": 120}
_OPUS_TIME = Fraction(1, RATE_HZ)
_FLAC_BLOCK_S = 0.2

Write = Callable[[int, bytes], int]
"""Like `os.write`."""


class PartFile:
    """A file that the muxer writes to, buffered so that each batch of packets is one write.

    Args:
        path: where to create it, with its folders; only its owner may read it.
        write: writes to the disk.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, path: Path, write: Write = os.write) -> None:
        self.bytes = 0
        "Its length so far, in bytes."
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # The lock marks it as being written, for as long as this process lives.
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write = write
        self._waiting = bytearray()
        self._at = 0
        self._given_up = False

    def write(self, data: bytes) -> int:
        """Take data; after `give_up`, discard it, so that the muxer can be closed."""
        if not self._given_up:
            self._waiting += data
            self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Like `io.IOBase.seek`."""
        self.flush()
        self._at = self._at if self._given_up else os.lseek(self._file, offset, whence)
        return self._at

    def tell(self) -> int:
        """Like `io.IOBase.tell`."""
        return self._at

    def flush(self) -> None:
        """Write the data taken so far.

        Raises:
            OSError: the disk does not accept it; the file is given up.
        """
        waiting, self._waiting = memoryview(bytes(self._waiting)), bytearray()
        try:
            while waiting and not self._given_up:
                waiting = waiting[self._write(self._file, bytes(waiting)) :]
        except OSError:
            self.give_up()
            raise
        self.bytes = max(self.bytes, self._at)

    def give_up(self) -> None:
        """Write nothing more."""
        self._given_up = True
        self._waiting.clear()

    def close(self) -> None:
        """Close the file; data that was not flushed is lost."""
        os.close(self._file)


class _Track(Protocol):
    """Turns one side's pieces into packets of its track."""

    def packets(self, piece: Piece) -> Iterable[av.Packet[Any]]: ...
    def rest(self) -> Iterable[av.Packet[Any]]: ...


class CallFile:
    """The recording of one call while it is being written.

    Args:
        disk: the file to write to.
        codecs: each side's codec, a key of `agent.record.tape.CLOCKS_HZ`.
    """

    def __init__(self, disk: PartFile, codecs: Mapping[Side, str]) -> None:
        self._disk = disk
        self._container = av.open(disk, "w", format=container_of(codecs), options=OPTIONS)
        self._tracks = {side: self._track(side, codecs[side]) for side in SIDES}
        self._container.start_encoding()

    def write(self, pieces: Iterable[Piece]) -> None:
        """Add pieces and flush them; raises one of `MUX_ERRORS`."""
        for piece in pieces:
            for packet in self._tracks[piece.side].packets(piece):
                self._container.mux_one(packet)
        self._disk.flush()

    def finish(self) -> None:
        """Complete the file; raises one of `MUX_ERRORS`."""
        for track in self._tracks.values():
            for packet in track.rest():
                self._container.mux_one(packet)
        self._container.close()
        self._disk.flush()

    def give_up(self) -> None:
        """Leave the file on the disk as it is."""
        self._disk.give_up()
        self._container.close()

    def _track(self, side: Side, codec: str) -> _Track:
        if codec == "opus":
            stream = self._container.add_stream_from_template(_template(_PRE_SKIPS[side]))
            track: _Track = _OpusTrack(stream)
        else:
            stream, rate_hz = self._container.add_stream("flac", rate=RATES_HZ[codec]), RATES_HZ[codec]
            context = stream.codec_context
            context.layout, context.format = "mono", "s16"
            context.options = {"frame_size": str(round(_FLAC_BLOCK_S * rate_hz)), "compression_level": "0"}
            track = _FlacTrack(stream, rate_hz)
        stream.metadata["title"] = side
        return track


def container_of(codecs: Mapping[Side, str]) -> str:
    """Return FFmpeg's name for the container that holds these codecs."""
    return "webm" if all(codec == "opus" for codec in codecs.values()) else "matroska"


def suffix_of(codecs: Mapping[Side, str]) -> str:
    """Return the suffix of a finished file's name."""
    return ".webm" if container_of(codecs) == "webm" else ".mka"


class _OpusTrack:
    """Opus packets as they came; if the side changes to another codec, that is encoded as Opus."""

    def __init__(self, stream: av.AudioStream) -> None:
        self._stream = stream
        self._filler, self._toc = QUIET, QUIET[0]
        self._other = ""  # the other codec, which is being encoded
        self._decode: Decode | None = None
        self._encoder: av.AudioCodecContext | None = None

    def packets(self, piece: Piece) -> Iterable[av.Packet[Any]]:
        if piece.codec not in ("", "opus"):
            return self._encoded(piece)
        data = piece.payload or self._filler
        if piece.payload and data[0] != self._toc:
            self._toc = data[0]
            self._filler = filler(self._toc)
        return [self._packet(data, piece.start, piece.ticks)]

    def rest(self) -> Iterable[av.Packet[Any]]:
        return []

    def _packet(self, data: bytes, start: int, ticks: int) -> av.Packet[Any]:
        packet: av.Packet[Any] = av.Packet(data)
        packet.stream, packet.time_base = self._stream, _OPUS_TIME
        packet.pts = packet.dts = start
        packet.duration = ticks
        return packet

    def _encoded(self, piece: Piece) -> list[av.Packet[Any]]:
        if piece.codec != self._other:
            self._other, self._decode = piece.codec, decoder(piece.codec)
            self._encoder = _opus_encoder(RATES_HZ[piece.codec])
        assert self._decode is not None
        assert self._encoder is not None
        rate_hz = RATES_HZ[piece.codec]
        per_frame = FRAME_TICKS * rate_hz // RATE_HZ
        frames = -(-piece.ticks // FRAME_TICKS)
        pcm = _fitted(_decoded(self._decode, piece.payload), frames * per_frame)
        encoded = [
            bytes(packet)
            for number in range(frames)
            for packet in self._encoder.encode(
                frame_of(pcm[number * per_frame : (number + 1) * per_frame], rate_hz)
            )
        ]
        return [
            self._packet(data, piece.start + number * FRAME_TICKS, FRAME_TICKS)
            for number, data in enumerate(encoded or [self._filler] * frames)
        ]


class _FlacTrack:
    """Any codec, decoded and encoded as FLAC."""

    def __init__(self, stream: av.AudioStream, rate_hz: int) -> None:
        self._stream, self._rate_hz = stream, rate_hz
        self._codec = ""
        self._decode: Decode | None = None
        self._resample: Callable[[Pcm], Pcm] | None = None
        self._waiting: list[Pcm] = []
        self._samples = self._waiting_samples = 0  # samples encoded, and samples waiting to be encoded

    def packets(self, piece: Piece) -> Iterable[av.Packet[Any]]:
        due = (piece.start + piece.ticks) * self._rate_hz // RATE_HZ - self._samples - self._waiting_samples
        self._waiting.append(_fitted(self._pcm(piece), max(due, 0)))
        self._waiting_samples += max(due, 0)
        return self._block() if self._waiting_samples >= _FLAC_BLOCK_S * self._rate_hz else []

    def rest(self) -> Iterable[av.Packet[Any]]:
        return [*self._block(), *self._stream.encode(None)]

    def _pcm(self, piece: Piece) -> Pcm:
        if not piece.payload:
            return np.zeros(0, np.int16)
        if piece.codec != self._codec:
            self._codec, self._decode = piece.codec, decoder(piece.codec)
            self._resample = resampler(RATES_HZ[piece.codec], self._rate_hz)
        assert self._decode is not None
        assert self._resample is not None
        return self._resample(_decoded(self._decode, piece.payload))

    def _block(self) -> list[av.Packet[Any]]:
        if not self._waiting_samples:
            return []
        frame = frame_of(np.concatenate(self._waiting), self._rate_hz)
        frame.pts, frame.time_base = self._samples, Fraction(1, self._rate_hz)
        self._samples += self._waiting_samples
        self._waiting, self._waiting_samples = [], 0
        return self._stream.encode(frame)


def _decoded(decode: Decode, payload: bytes) -> Pcm:
    """Decode a payload; one that cannot be decoded becomes silence."""
    try:
        return decode(payload)
    except av.FFmpegError:
        return np.zeros(0, np.int16)


def _fitted(pcm: Pcm, samples: int) -> Pcm:
    """Return exactly ``samples`` samples."""
    if len(pcm) == samples:
        return pcm
    return np.concatenate((pcm[:samples], np.zeros(max(samples - len(pcm), 0), np.int16)))


def _opus_encoder(rate_hz: int) -> av.AudioCodecContext:
    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.format, context.layout, context.sample_rate = "s16", "mono", rate_hz
    context.options = {"application": "voip", "compression_level": "0"}
    return context


@cache
def _template(pre_skip: int) -> av.AudioStream:
    """Return a stream with the headers of mono Opus; one set up by the muxer has none, or keeps an encoder open."""
    return _open_template(pre_skip).streams.audio[0]


@cache
def _open_template(pre_skip: int) -> av.container.InputContainer:
    return av.open(BytesIO(ogg_file(mono_head(pre_skip), QUIET)), "r", format="ogg")
