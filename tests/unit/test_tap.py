"""The contract with aiortc's internals: if one of these fails, the tap must be written anew for that version."""

from __future__ import annotations

import inspect

import aiortc.rtcrtpreceiver
import pytest
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

from agent.media import tap


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
