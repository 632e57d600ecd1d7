"""Frames out of RTP packets, as aiortc's own packetizer makes them, in any order."""

from __future__ import annotations

import itertools

import pytest
from aiortc.codecs.h264 import H264Encoder, h264_depayload
from aiortc.codecs.vpx import Vp8Encoder, vp8_depayload
from hypothesis import given
from hypothesis import strategies as st

from agent.media.keyframe import MAX_OPEN_FRAMES, MAX_PACKETS_PER_FRAME, Assembler, Part, is_key_frame, starts_frame
from tests.support.pictures import encoded, scene

FRAMES = {
    codec: encoded(codec, [scene(320, 240, noise=4, seed=seed) for seed in range(3)]) for codec in ("vp8", "h264")
}


def parts(codec: str, frame: bytes, sequence_number: int = 0, timestamp: int = 0) -> list[Part]:
    """Packetize a frame and take the packets in as the receiver does."""
    if codec == "vp8":
        payloads = Vp8Encoder._packetize(frame, 7)
        pieces = [vp8_depayload(payload) for payload in payloads]
    else:
        payloads = H264Encoder._packetize(H264Encoder._split_bitstream(frame))
        pieces = [h264_depayload(payload) for payload in payloads]
    return [
        Part(
            (sequence_number + index) & 0xFFFF,
            timestamp,
            index == len(payloads) - 1,
            starts_frame(codec, payload, data),
            data,
        )
        for index, (payload, data) in enumerate(zip(payloads, pieces, strict=True))
    ]


@pytest.mark.parametrize("codec", FRAMES)
def test_key_frames_are_told_from_others(codec: str) -> None:
    assert [is_key_frame(codec, frame) for frame in FRAMES[codec]] == [True, False, False]


def test_parameter_sets_alone_are_no_key_frame() -> None:
    sets = b"\0\0\0\1\x67abcd\0\0\0\1\x68ef"
    assert not is_key_frame("h264", sets)
    assert is_key_frame("h264", sets + b"\0\0\1\x65xyz")


@pytest.mark.parametrize("codec", FRAMES)
@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\1", b"\0\0\0\1", b"\x10", bytes(3), bytes(9), b"\0" * 50])
def test_short_and_empty_data_is_no_key_frame(codec: str, data: bytes) -> None:
    assert not is_key_frame(codec, data)
    starts_frame(codec, data, data)


@given(st.sampled_from(["vp8", "h264"]), st.binary(max_size=60), st.binary(max_size=60))
def test_anything_may_come_from_the_network(codec: str, payload: bytes, data: bytes) -> None:
    starts_frame(codec, payload, data)
    is_key_frame(codec, data)


@pytest.mark.parametrize("codec", FRAMES)
@pytest.mark.parametrize("sequence_number", [0, 0xFFFE])
def test_a_key_frame_is_put_together(codec: str, sequence_number: int) -> None:
    frame = FRAMES[codec][0]
    assembler = Assembler()
    *before, last = parts(codec, frame, sequence_number)
    assert len(before) > 3
    assert [assembler.push(part) for part in before] == [None] * len(before)
    whole = assembler.push(last)
    assert whole is not None
    assert is_key_frame(codec, whole)
    assert whole.replace(b"\0\0\0\1", b"\0\0\1") == frame.replace(b"\0\0\0\1", b"\0\0\1")


@pytest.mark.parametrize("codec", FRAMES)
@given(seed=st.randoms(use_true_random=False), start=st.integers(0, 0xFFFF))
def test_the_order_of_packets_does_not_matter(codec: str, seed: object, start: int) -> None:
    first, second = FRAMES[codec][:2]
    packets = parts(codec, first, start, 1000)
    expected = b"".join(part.data for part in packets)
    packets += parts(codec, second, start + len(packets), 4000)[:1]
    packets += packets[:2]  # retransmitted although they had come
    seed.shuffle(packets)  # type: ignore[attr-defined]
    assembler = Assembler()
    wholes = [whole for part in packets if (whole := assembler.push(part)) is not None]
    assert expected in wholes


@pytest.mark.parametrize("codec", FRAMES)
def test_a_frame_that_lost_a_packet_holds_nothing_back(codec: str) -> None:
    frame = FRAMES[codec][0]
    assembler = Assembler()
    number = 0
    for timestamp in range(0, 90_000, 3000):
        packets = parts(codec, frame, number, timestamp)
        number += len(packets)
        for part in packets[:1] + packets[2:]:
            assert assembler.push(part) is None
        assert len(assembler._open) <= MAX_OPEN_FRAMES
    wholes = [assembler.push(part) for part in parts(codec, frame, number, 90_000)]
    assert wholes[-1] is not None


def test_a_retransmission_completes_a_frame_while_later_ones_come() -> None:
    key, *deltas = FRAMES["vp8"]
    packets = parts("vp8", key, 10, 0)
    lost = packets.pop(2)
    assembler = Assembler()
    for part in packets:
        assert assembler.push(part) is None
    number = 10 + len(packets) + 1
    for timestamp, delta in enumerate(itertools.islice(itertools.cycle(deltas), 30), 1):
        for part in parts("vp8", delta, number, timestamp * 3000):
            assembler.push(part)
            number += 1
    assert assembler.push(lost) is not None


def test_a_frame_without_end_is_dropped() -> None:
    assembler = Assembler()
    for number in range(3 * MAX_PACKETS_PER_FRAME):
        assert assembler.push(Part(number, 0, False, number == 0, b"x")) is None
        assert all(len(frame._parts) <= MAX_PACKETS_PER_FRAME for frame in assembler._open.values())
