"""The contract with aiortc's internals: if one of these fails, the tap must be adapted to that version."""

from __future__ import annotations

import inspect
import re

import aiortc.rtcrtpreceiver
import pytest
from aioice.ice import Connection, StunProtocol
from aiortc import RTCDtlsTransport, RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from agent.media.tap import audio as tap


def test_this_aiortc_can_be_tapped() -> None:
    assert tap.why_not() is None


def test_the_receiver_hands_every_packet_to_its_jitter_buffer() -> None:
    source = inspect.getsource(RTCRtpReceiver._handle_rtp_packet)
    assert "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)" in source
    assert "if encoded_frame is not None" in source
    init = inspect.getsource(RTCRtpReceiver.__init__)
    assert "self.__jitter_buffer = JitterBuffer(" in init
    uses = inspect.getsource(aiortc.rtcrtpreceiver).count("__jitter_buffer")
    assert uses == 3, "aiortc uses the buffer somewhere else as well now"


def test_the_buffer_takes_a_packet_and_returns_a_pair() -> None:
    assert list(inspect.signature(JitterBuffer.add).parameters) == ["self", "packet"]
    packet = RtpPacket(payload_type=111, sequence_number=1, timestamp=2, ssrc=3, payload=b"x")
    packet._data = b"x"  # type: ignore[attr-defined]
    flag, frame = JitterBuffer(capacity=16).add(packet)
    assert (flag, frame) == (False, None)


def test_another_aiortc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "version", lambda _name: "1.17.0")
    reason = tap.why_not()
    assert reason is not None
    assert "1.17.0" in reason


def test_the_shortcut_keeps_up_to_date_what_the_long_way_does() -> None:
    """What the long way does with a packet of a known stream; anything new in it may have to be done here, too."""
    received = inspect.getsource(RTCDtlsTransport._recv_next)
    assert "data = await self.transport._recv()" in received
    assert "self.__rx_bytes += len(data)" in received
    assert "self.__rx_packets += 1" in received
    assert "if is_rtcp(data):" in received
    assert "data = self._rx_srtp.unprotect(data)" in received
    handled = inspect.getsource(RTCRtpReceiver._handle_rtp_packet)
    assert "self.__remote_streams[packet.ssrc].add(packet)" in handled
    uses = set(re.findall(r"packet\.(\w+)", inspect.getsource(aiortc.rtcrtpreceiver.StreamStatistics.add)))
    assert uses == {"sequence_number", "timestamp"}
    assert "self.receiver.data_received(data, self.local_candidate.component)" in inspect.getsource(
        StunProtocol.datagram_received
    )
    assert "self._queue.put_nowait((data, component))" in inspect.getsource(Connection.data_received)
