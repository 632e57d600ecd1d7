"""The contract with aiortc's internals for video: if one fails, the tap must be adapted to that version."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any

import aiortc.rtcrtpreceiver
import pytest
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add
from hypothesis import given
from hypothesis import strategies as st

from agent.media.tap import audio as tap
from agent.media.tap import video as tap_video
from agent.media.tap.video import BoundedNacks


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run what has nothing to wait for."""
    with pytest.raises(StopIteration):
        work.send(None)


def bare_receiver() -> RTCRtpReceiver:
    receiver = object.__new__(RTCRtpReceiver)
    setattr(receiver, tap_video._BUFFER, JitterBuffer(capacity=512, is_video=True))
    return receiver


def packet() -> RtpPacket:
    made = RtpPacket(payload_type=97, sequence_number=1, timestamp=2, ssrc=33, payload=b"\x10x", marker=1)
    made._data = b"x"  # type: ignore[attr-defined]
    return made


def test_this_aiortc_can_be_tapped() -> None:
    assert tap_video.why_not_video() is None


def test_the_receiver_parses_a_packet_and_then_hands_it_to_its_jitter_buffer() -> None:
    source = inspect.getsource(RTCRtpReceiver._handle_rtp_packet)
    parses, adds = source.index("packet._data = depayload("), source.index("self.__jitter_buffer.add(packet)")
    assert source.index("unwrap_rtx(") < source.index("_send_rtcp_nack(") < parses < adds
    init = inspect.getsource(RTCRtpReceiver.__init__)
    assert "self.__jitter_buffer = JitterBuffer(capacity=512, is_video=True)" in init
    assert inspect.getsource(aiortc.rtcrtpreceiver).count("__jitter_buffer") == 3


def test_only_frames_of_the_buffer_reach_the_decoder() -> None:
    source = inspect.getsource(aiortc.rtcrtpreceiver)
    assert source.count("__decoder_queue.put(") == 2  # a frame of the buffer, and None at the end
    assert "self.__decoder_queue.put(None)" in source


def test_a_picture_loss_can_be_indicated() -> None:
    assert list(inspect.signature(RTCRtpReceiver._send_rtcp_pli).parameters) == ["self", "media_ssrc"]
    assert "RTCP_PSFB_PLI" in inspect.getsource(RTCRtpReceiver._send_rtcp_pli)


def test_packets_are_handed_on_and_nothing_is_left_to_decode() -> None:
    receiver, came = bare_receiver(), list[tuple[RtpPacket, bytes]]()
    tapped = tap_video.tap_video(receiver, lambda packet, data: came.append((packet, data)))
    assert tapped is not None
    one = packet()
    assert getattr(receiver, tap_video._BUFFER).add(one) == (False, None)
    assert came == [(one, b"x")]
    assert tap_video.why_not_video(receiver) is None


def test_a_key_frame_is_requested_from_whom_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, requested = bare_receiver(), list[int]()

    async def send_pli(_receiver: RTCRtpReceiver, ssrc: int) -> None:
        requested.append(ssrc)

    monkeypatch.setattr(RTCRtpReceiver, "_send_rtcp_pli", send_pli)
    tapped = tap_video.tap_video(receiver, lambda _packet, _data: None)
    assert tapped is not None
    run(tapped.request_key_frame())
    assert requested == []
    tapped.add(packet())
    run(tapped.request_key_frame())
    assert requested == [33]


def test_another_aiortc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = bare_receiver()
    before = vars(receiver).copy()
    monkeypatch.setattr(tap, "version", lambda _name: "1.17.0")
    assert "1.17.0" in (tap_video.why_not_video() or "")
    assert tap_video.tap_video(receiver, lambda _packet, _data: None) is None
    assert vars(receiver) == before


def test_a_receiver_that_changed_is_left_alone() -> None:
    receiver = object.__new__(RTCRtpReceiver)
    assert tap_video.why_not_video(receiver) is not None
    assert tap_video.tap_video(receiver, lambda _packet, _data: None) is None
    assert vars(receiver) == {}


def test_without_the_request_it_is_not_tapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RTCRtpReceiver, "_send_rtcp_pli")
    assert "_send_rtcp_pli" in (tap_video.why_not_video() or "")


@given(st.lists(st.one_of(st.integers(0, 0xFFFF), st.integers(0, 300)), max_size=60))
def test_what_is_asked_for_again_is_what_aiortc_asks_for(numbers: list[int]) -> None:
    ours, theirs = BoundedNacks(), NackGenerator()
    for number in numbers:
        came = RtpPacket(sequence_number=number)
        assert ours.add(came) == theirs.add(came)
        assert ours.missing == theirs.missing


def test_a_jump_costs_no_more_than_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet that jumped had aiortc count for 15 ms; eighty of them a second filled a core."""
    counted: list[int] = []

    def add(a: int, b: int) -> int:
        counted.append(a)
        return uint16_add(a, b)

    monkeypatch.setattr(aiortc.rtcrtpreceiver, "uint16_add", add)
    nacks = BoundedNacks()
    for number in range(10):
        nacks.add(RtpPacket(sequence_number=number * 32_766 & 0xFFFF))
    assert len(counted) < 10 * 200


def test_the_receiver_has_such_a_generator() -> None:
    init = inspect.getsource(RTCRtpReceiver.__init__)
    assert "self.__nack_generator = NackGenerator()" in init
    receiver = bare_receiver()
    setattr(receiver, tap_video._NACKS, NackGenerator())
    assert tap_video.tap_video(receiver, lambda _packet, _data: None) is not None
    assert isinstance(getattr(receiver, tap_video._NACKS), BoundedNacks)
