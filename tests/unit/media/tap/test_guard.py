"""Bad datagrams do not end a call: the contract with aiortc and aioice, and any bytes at all."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import aiortc.rtp
import pytest
from aioice import stun
from aiortc import RTCDtlsTransport, RTCRtpReceiver
from aiortc.codecs import depayload
from aiortc.rtcdtlstransport import RtpRouter
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtcsctptransport import parse_packet
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap
from hypothesis import given
from hypothesis import strategies as st

from agent.media.tap.guard import _BY_SOURCE, MALFORMED, MAX_RESENT_AT_ONCE, MAX_SOURCES, guard

URIS = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "urn:ietf:params:rtp-hdrext:toffset",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
]


def extensions_map() -> HeaderExtensionsMap:
    made = HeaderExtensionsMap()
    made.configure(
        RTCRtpParameters(
            headerExtensions=[RTCRtpHeaderExtensionParameters(number, uri) for number, uri in enumerate(URIS, 1)]
        )
    )
    return made


class Transport:
    """Stands for aiortc's: reads, and that goes wrong."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._rtp_header_extensions_map = extensions_map()

    async def _recv_next(self) -> None:
        if self.error is not None:
            raise self.error


class Guarded:
    """A transport that is guarded, with nothing behind it."""

    def __init__(self) -> None:
        self.unreadable = 0
        self.transport = Transport()
        receiver: Any = SimpleNamespace(transport=self.transport)
        for _ in range(2):  # two receivers may share it
            guard(receiver, self.count)
        self.extensions = self.transport._rtp_header_extensions_map.get

    def count(self) -> None:
        self.unreadable += 1


def run(work: Any) -> None:
    """Run what waits for nothing but the loop's next round."""
    for _ in range(3):
        try:
            work.send(None)
        except StopIteration:
            return
    pytest.fail("it waits")


def test_what_is_replaced_is_there() -> None:
    assert inspect.iscoroutinefunction(RTCDtlsTransport._recv_next)
    assert "await self._recv_next()" in inspect.getsource(RTCDtlsTransport)
    assert "RtpPacket.parse(data, self._rtp_header_extensions_map)" in inspect.getsource(RTCDtlsTransport)
    assert "extensions_map.get(" in inspect.getsource(aiortc.rtp.RtpPacket.parse)
    assert list(inspect.signature(HeaderExtensionsMap.get).parameters)[1:] == [
        "extension_profile",
        "extension_value",
    ]
    assert inspect.iscoroutinefunction(RTCRtpReceiver._handle_rtp_packet)
    assert "await self._send_rtcp(packet)" in inspect.getsource(RTCRtpReceiver._run_rtcp)


@pytest.mark.parametrize(
    "error", [struct.error(), IndexError(), ValueError(), UnicodeDecodeError("utf8", b"", 0, 0, "")]
)
def test_what_a_parser_raises_is_counted_and_logged_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    guarded = Guarded()
    guarded.transport.error = error
    for _ in range(3):
        run(guarded.transport._recv_next())
    assert guarded.unreadable == 3
    assert len(caplog.records) == 1
    assert f"{type(error).__name__} in Transport._recv_next" in caplog.text


def test_the_end_of_a_connection_still_is_one() -> None:
    guarded = Guarded()
    guarded.transport.error = ConnectionError()
    with pytest.raises(ConnectionError):
        guarded.transport._recv_next().send(None)
    assert guarded.unreadable == 0


@given(st.sampled_from([0xBEDE, 0x1000, 0x1001, 0]), st.binary(max_size=60))
def test_any_header_extension_may_come(profile: int, value: bytes) -> None:
    assert isinstance(Guarded().extensions(profile, value), HeaderExtensions)


@pytest.mark.parametrize(
    "bad", [b"\x21\x7f\x7f", b"\x12\xff\xfe\xfd", b"\x30\x00", b"\x40\x00", b"\x52\x00\x00\x00"]
)
def test_what_is_readable_of_header_extensions_is_read(bad: bytes) -> None:
    """One of the wrong length, or a text that is none, costs itself: the mid may be what routes the packet."""
    good = b"\x10\x37" + b"\x51\x01\x02"
    for value in (bad + good, good + bad):
        found = Guarded().extensions(0xBEDE, value)
        assert found.mid == "7"
        assert found.transport_sequence_number == 0x0102


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "RTP": lambda data: aiortc.rtp.RtpPacket.parse(b"\x90" + data, extensions_map()),
    "RTCP": lambda data: [RtpRouter().route_rtcp(each) for each in aiortc.rtp.RtcpPacket.parse(data)],
    "bandwidth": lambda data: aiortc.rtp.unpack_remb_fci(b"REMB" + data),
    "SCTP": parse_packet,
    "STUN": stun.parse_message,
    "VP8": lambda data: depayload(RTCRtpCodecParameters("video/VP8", 90_000), data),
    "H264": lambda data: depayload(RTCRtpCodecParameters("video/H264", 90_000), data),
}


@given(st.sampled_from(sorted(PARSERS)), st.binary(max_size=60))
def test_a_parser_raises_nothing_else(name: str, data: bytes) -> None:
    with suppress(*MALFORMED):
        PARSERS[name](data)


class Source:
    """Stands for a receiver, with what it remembers of its sources."""

    def __init__(self) -> None:
        for name in _BY_SOURCE:
            setattr(self, name, {})


def routed() -> tuple[Any, Source]:
    """Return a guarded router with a receiver of audio."""
    router, receiver = RtpRouter(), Source()
    router.register_receiver(receiver, ssrcs=[], payload_types=[111])  # type: ignore[arg-type]
    transport = Transport()
    transport._rtp_router = router  # type: ignore[attr-defined]
    guard(cast(Any, SimpleNamespace(transport=transport)), lambda: None)
    return router, receiver


def test_old_sources_are_forgotten_when_there_are_many() -> None:
    """aiortc keeps the statistics of each, and reports on all of them every second."""
    router, receiver = routed()
    for ssrc in range(1000):
        packet = aiortc.rtp.RtpPacket(payload_type=111, ssrc=ssrc)
        assert router.route_rtp(packet) is receiver
        for name in _BY_SOURCE:
            getattr(receiver, name)[ssrc] = "known"
    assert list(router.ssrc_table) == list(range(1000 - MAX_SOURCES, 1000))
    assert all(len(getattr(receiver, name)) == MAX_SOURCES for name in _BY_SOURCE)
    again = aiortc.rtp.RtpPacket(payload_type=111, ssrc=1)
    assert router.route_rtp(again) is receiver
    assert 1 in router.ssrc_table


def test_what_aiortc_remembers_of_a_source_is_there() -> None:
    source = inspect.getsource(RTCRtpReceiver)
    for name in _BY_SOURCE:
        assert f"self.{name.removeprefix('_RTCRtpReceiver')}[packet.ssrc] = " in source


async def test_no_more_is_sent_again_than_there_is() -> None:
    router, _ = routed()
    asked = [
        aiortc.rtp.RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=2, lost=[*range(300)] * 17),
        aiortc.rtp.RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=2, lost=[7, 7, 8]),
    ]
    for packet in asked:
        router.route_rtcp(packet)
    assert asked[0].lost == [*range(MAX_RESENT_AT_ONCE)]
    assert asked[1].lost in ([], [7], [7, 8])


async def test_what_was_lost_is_sent_again() -> None:
    router, _ = routed()
    packet = aiortc.rtp.RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=2, lost=[65535, 0, 3, 0])
    router.route_rtcp(packet)
    assert packet.lost == [65535, 0, 3]
