"""Payloads of a caller's voice: Opus, G.711, G.722 and keys, in and out of order.

A piece is a payload type, steps of sequence number, timestamp and time, and the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from agent.media import opus
from agent.media.chunker import FRAME_SAMPLES
from agent.media.dtmf import KEYS, key_packets
from agent.media.encode import voice_encoder
from agent.media.inbound import PacketInlet
from agent.media.rtp import RtpPacket
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target

PAYLOADS = {0: "PCMU", 8: "PCMA", 9: "G722", 101: "telephone-event", 111: "opus"}
_HEAD = struct.Struct("!BbiB")  # payload type, steps of sequence number, timestamp, and of time in 4 ms


@contextmanager
def fresh(payloads: Mapping[int, str] = PAYLOADS) -> Iterator[Take]:
    inlet = PacketInlet(payloads, pressed)
    sequence, timestamp, now = 0, 0, 1.0

    def take(piece: bytes) -> object:
        nonlocal sequence, timestamp, now
        head, payload = piece[: _HEAD.size].ljust(_HEAD.size, b"\0"), piece[_HEAD.size :]
        kind, step, ticks, fours = _HEAD.unpack(head)
        sequence, timestamp, now = (
            (sequence + step) & 0xFFFF,
            (timestamp + ticks) & 0xFFFFFFFF,
            now + fours / 250,
        )
        heard = inlet.push(RtpPacket(kind & 0x7F, kind >> 7, sequence, timestamp, 7, payload), now)
        heard += inlet.poll(now + 0.1)
        assert all(pcm.dtype == np.int16 and pcm.shape == (FRAME_SAMPLES,) for pcm in heard)
        stats = inlet.stats
        return min(len(heard), 9), stats.unreadable > 0, stats.concealed_samples > 0, stats.restarts > 0

    yield take


def pressed(key: str) -> None:
    assert key in KEYS


@contextmanager
def without_libopus() -> Iterator[Take]:
    with patch.object(opus, "available", lambda: False), fresh() as take:
        yield take


def piece(kind: int, payload: bytes, step: int = 1, ticks: int = 960, fours: int = 5) -> bytes:
    return _HEAD.pack(kind, step, ticks, fours) + payload


def speech() -> list[Pieces]:
    tone = (8000 * np.sin(np.arange(480) / 3)).astype(np.int16)
    encode: Callable[[np.ndarray[tuple[int], np.dtype[np.int16]]], bytes] = voice_encoder("opus").encode
    spoken = [bytes(encode(tone)) for _ in range(6)]
    silk = [b"\x08" + bytes(range(40)), b"\x48" + bytes(range(60)), b"\x0b\x82" + bytes(range(50)), b"\xf8\xff\xfe"]
    return [
        [piece(111, each) for each in spoken],
        [piece(111, each, step, 960 * step) for each, step in zip(spoken, (1, 3, -1, 1, 20, 1), strict=True)],
        [piece(111, each) for each in silk],
        *([piece(kind, bytes(range(160)), ticks=160)] * 3 for kind in (0, 8, 9)),
        [piece(101, each, ticks=0) for each in key_packets("5")],
        [piece(0, bytes(160), ticks=160), piece(111, spoken[0]), piece(13, b"\x20"), piece(111, b"")],
    ]


TARGET = Target("voice", "bytes", fresh, more=speech, max_bytes=16 << 10, quick=2000)
FALLBACK = Target("voice-pyav", "bytes", without_libopus, more=speech, max_bytes=16 << 10, quick=200)
