"""What is read of an RTP packet is what aiortc reads, whatever comes."""

from __future__ import annotations

import aiortc.rtp
from hypothesis import given
from hypothesis import strategies as st

from agent.media.rtp import RtpPacket, parse_rtp

PACKETS = st.builds(
    lambda flags, kind, rest: bytes([flags, kind]) + rest,
    st.integers(0, 255) | st.integers(0x80, 0xBF),
    st.integers(0, 255),
    st.binary(max_size=100),
)


def as_aiortc_reads(data: bytes) -> RtpPacket | None:
    try:
        packet = aiortc.rtp.RtpPacket.parse(data)
    except ValueError:
        return None
    return RtpPacket(
        packet.payload_type,
        packet.marker,
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
    )


@given(PACKETS)
def test_any_bytes_are_read_as_aiortc_reads_them(data: bytes) -> None:
    assert parse_rtp(data) == as_aiortc_reads(data)


@given(
    st.integers(0, 127),
    st.integers(0, 65_535),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=60),
    st.lists(st.integers(0, 2**32 - 1), max_size=3),
    st.integers(0, 20),
)
def test_what_aiortc_writes_is_read(
    kind: int, sequence: int, timestamp: int, payload: bytes, sources: list[int], padding: int
) -> None:
    packet = aiortc.rtp.RtpPacket(kind, 1, sequence, timestamp, 7, payload)
    packet.csrc, packet.padding_size = sources, padding
    assert parse_rtp(packet.serialize()) == RtpPacket(kind, 1, sequence, timestamp, 7, payload)


def test_a_header_extension_is_passed_over() -> None:
    header = bytes.fromhex("907b0001 00000002 00000003 bede0001 10aa0000")
    assert parse_rtp(header + b"voice") == RtpPacket(123, 0, 1, 2, 3, b"voice")
    assert parse_rtp(header[:-1]) is None
