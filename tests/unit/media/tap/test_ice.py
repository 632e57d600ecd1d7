"""The contract with aioice's internals, and which datagrams the guard lets through."""

from __future__ import annotations

import inspect
import struct
from types import SimpleNamespace
from typing import Any

import aioice.ice
import pytest
from aioice import stun
from aioice.candidate import Candidate
from aioice.ice import CandidatePair, Connection
from hypothesis import given
from hypothesis import strategies as st

from agent.media.tap import ice as tap_ice
from agent.media.tap.ice import MAX_REMOTE_ADDRESSES, MAX_WAITING_DATAGRAMS, GuardedProtocol

PEER, STRANGER = ("192.0.2.1", 4000), ("192.0.2.1", 4001)
RTP, DTLS = b"\x80" + bytes(11), b"\x16\xfe\xfd" + bytes(10)


class Socket(GuardedProtocol):
    """A socket whose connection only writes down what reaches it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.media: list[bytes] = []
        self.requests: list[stun.Message] = []
        self.transactions = {}
        self.local_candidate = candidate(("192.0.2.9", 1))
        self.receiver: Any = SimpleNamespace(
            _nominated={},
            _check_list=[],
            _early_checks=[],
            _remote_candidates=[],
            _queue=SimpleNamespace(qsize=lambda: self.waiting),
            data_received=lambda data, component: self.media.append(data),
            request_received=lambda message, addr, protocol: self.requests.append(message),
        )
        self._StunProtocol__log_debug = lambda *args: None

    def pair(self, address: tuple[str, int], state: CandidatePair.State, *, nominated: bool = False) -> None:
        pair = CandidatePair(self, candidate(address))
        pair.state = state
        self.receiver._check_list.append(pair)
        if nominated:
            self.receiver._nominated[1] = pair


def candidate(address: tuple[str, int]) -> Candidate:
    return Candidate("f", 1, "udp", 1, address[0], address[1], "host")


def test_this_aioice_can_be_guarded() -> None:
    assert tap_ice.why_not() is None


def test_sockets_are_opened_with_the_class_that_the_module_names() -> None:
    source = inspect.getsource(Connection.get_component_candidates)
    assert source.count("StunProtocol(self)") == 2
    assert list(inspect.signature(Connection.get_component_candidates).parameters)[1:] == [
        "component",
        "addresses",
        "timeout",
    ]
    assert "self.get_component_candidates(component=component, addresses=addresses)" in inspect.getsource(
        Connection.gather_candidates
    )
    made = vars(Connection(ice_controlling=False))
    assert {"_nominated", "_check_list", "_early_checks", "_remote_candidates", "_queue"} <= made.keys()


def test_another_aioice_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_ice, "version", lambda _name: "0.14.0")
    plain = aioice.ice.StunProtocol
    assert not tap_ice.guard()
    assert aioice.ice.StunProtocol is plain


@pytest.mark.parametrize("data", [RTP, DTLS])
def test_media_of_the_nominated_pair_is_passed_on(data: bytes) -> None:
    socket = Socket()
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    socket.datagram_received(data, PEER)
    socket.datagram_received(data, (*PEER, 0, 0))  # an IPv6 address comes with flow and scope
    assert socket.media == [data, data]


@pytest.mark.parametrize("data", [RTP, DTLS])
def test_media_of_strangers_is_dropped(data: bytes) -> None:
    socket = Socket()
    socket.datagram_received(data, STRANGER)
    socket.pair(PEER, CandidatePair.State.IN_PROGRESS)
    socket.datagram_received(data, STRANGER)
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    socket.datagram_received(data, STRANGER)
    assert socket.media == []


def test_media_that_overtakes_our_own_check_is_taken() -> None:
    """The peer may begin its handshake once its own check was answered; losing that costs it a second."""
    socket = Socket()
    socket.receiver._early_checks.append((None, PEER, socket))
    socket.datagram_received(DTLS, PEER)
    socket.receiver._early_checks.clear()
    socket.pair(PEER, CandidatePair.State.IN_PROGRESS)
    socket.datagram_received(DTLS, PEER)
    assert len(socket.media) == 2


def test_media_comes_from_any_pair_that_passed_its_check() -> None:
    """Two addresses may be nominated one after the other (RFC 8445 section 12.2)."""
    socket = Socket()
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    socket.pair(STRANGER, CandidatePair.State.IN_PROGRESS)
    socket.datagram_received(RTP, STRANGER)
    assert socket.media == []
    socket.receiver._check_list[1].state = CandidatePair.State.SUCCEEDED
    socket.datagram_received(RTP, STRANGER)
    assert socket.media == [RTP]


def test_nothing_begins_with_another_byte() -> None:
    socket = Socket()
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    socket.datagram_received(b"", PEER)
    for first in (*range(20), *range(64, 128), *range(192, 256)):
        for length in (1, 12, 20, 28):
            socket.datagram_received(bytes([first]) + bytes(length - 1), PEER)
    assert socket.media == []
    assert socket.requests == []


def test_datagrams_that_are_not_read_in_time_are_dropped() -> None:
    socket = Socket()
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    socket.waiting = MAX_WAITING_DATAGRAMS
    socket.datagram_received(RTP, PEER)
    assert socket.media == []


def request() -> bytes:
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    message.attributes["USERNAME"] = "a:b"
    return bytes(message)


def test_checks_are_passed_on() -> None:
    socket = Socket()
    socket.datagram_received(request(), STRANGER)
    assert len(socket.requests) == 1


def test_checks_come_from_a_bounded_number_of_addresses() -> None:
    socket = Socket()
    socket.receiver._remote_candidates = [candidate(("192.0.2.1", port)) for port in range(MAX_REMOTE_ADDRESSES)]
    socket.datagram_received(request(), STRANGER)
    assert socket.requests == []
    socket.datagram_received(request(), ("192.0.2.1", 3))
    assert len(socket.requests) == 1


@given(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=18, max_size=200))
def test_media_is_never_taken_for_stun(first: int, second: int, rest: bytes) -> None:
    """RFC 7983 section 7: the first byte tells. Payload types 8 and 9 look like STUN if the lengths fit."""
    socket = Socket()
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    data = bytes((first, second)) + (len(rest) - 18).to_bytes(2, "big") + rest[2:]
    socket.datagram_received(data, PEER)
    assert socket.media == ([data] if 19 < first < 64 or 127 < first < 192 else [])


@given(st.binary(max_size=80))
def test_any_datagram_may_come(data: bytes) -> None:
    socket = Socket()
    socket.pair(PEER, CandidatePair.State.SUCCEEDED, nominated=True)
    socket.datagram_received(data, PEER)
    socket.datagram_received(struct.pack("!HHI12s", 1, len(data), 0x2112A442, bytes(12)) + data, STRANGER)
