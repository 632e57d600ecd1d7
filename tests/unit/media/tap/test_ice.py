"""The contract with aioice's internals, and which datagrams the guard lets through."""

from __future__ import annotations

import asyncio
import inspect
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
        self.transport: Any = SimpleNamespace(sendto=lambda data, addr: None)
        self._answered = set()
        self.receiver: Any = SimpleNamespace(
            _nominated={},
            _check_list=[],
            _early_checks=[],
            _remote_candidates=[],
            _closing=False,
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


class Path(asyncio.DatagramProtocol):
    """One of a peer's sockets, with which it checks and nominates a path."""

    def __init__(self, ours: Connection) -> None:
        self.ours = ours
        self.answers = True
        self.asked = asyncio.Event()
        self.received: list[bytes] = []

    @classmethod
    async def open(cls, ours: Connection) -> Path:
        loop = asyncio.get_running_loop()
        transport, path = await loop.create_datagram_endpoint(lambda: cls(ours), local_addr=("127.0.0.1", 0))
        path.transport = transport
        path.address = transport.get_extra_info("sockname")
        return path

    transport: asyncio.DatagramTransport
    address: tuple[str, int]

    def send(self, data: bytes) -> None:
        own = self.ours._local_candidates[0]
        self.transport.sendto(data, (own.host, own.port))

    def nominate(self) -> None:
        self.send(self.check({"ICE-CONTROLLING": 1, "USE-CANDIDATE": None}))

    def check(self, more: dict[str, Any]) -> bytes:
        check = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        check.attributes.update({"USERNAME": f"{self.ours.local_username}:them", "PRIORITY": 1, **more})
        check.add_message_integrity(self.ours.local_password.encode())
        return bytes(check)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if data[0] > 3:
            self.received.append(data)
            return
        message = stun.parse_message(data)
        if message.message_class is not stun.Class.REQUEST:
            return
        self.asked.set()
        if self.answers:
            answer = stun.Message(
                message_method=stun.Method.BINDING,
                message_class=stun.Class.RESPONSE,
                transaction_id=message.transaction_id,
            )
            answer.attributes["XOR-MAPPED-ADDRESS"] = addr
            answer.add_message_integrity(b"p" * 22)
            self.transport.sendto(bytes(answer), addr)


@contextmanager
def ours_guarded() -> Iterator[None]:
    """Open guarded sockets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aioice.ice, "StunProtocol", GuardedProtocol)
        yield


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
    used = {"_nominated", "_check_list", "_early_checks", "_remote_candidates", "_queue", "_closing"}
    assert used <= made.keys()


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
    socket.send_stun(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE), PEER)
    socket.datagram_received(DTLS, PEER)
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


async def test_a_peer_may_choose_a_path_whose_check_was_given_up() -> None:
    """aioice cancels its remaining checks when a pair is nominated, and never began the cancelled ones again."""
    async with connected_by_the_first_of_two() as (ours, second):
        second.answers = True
        second.send(RTP)  # from a stranger, so far
        second.nominate()
        second.send(DTLS)
        assert await ours.recv() == DTLS
        while not second.received:
            await ours.send(RTP)
            await asyncio.sleep(0.01)


async def test_a_peer_may_send_on_another_path_than_we_do() -> None:
    """Between two peers with aioice, each sends on the pair that was nominated last, which differ at times."""
    async with connected_by_the_first_of_two(controlling=True) as (ours, second):
        second.send(RTP)  # from a stranger, so far
        second.send(second.check({"ICE-CONTROLLED": 1}))
        second.send(DTLS)
        assert await ours.recv() == DTLS


async def test_a_connection_that_is_closing_begins_no_check() -> None:
    """Nothing would end it: the checks have been cancelled, and the socket is about to be closed."""
    async with connected_by_the_first_of_two() as (ours, second):
        (pair,) = [each for each in ours._check_list if each.remote_addr == second.address]
        pair.remote_nominated = True
        ours._closing = True
        pair.protocol.datagram_received(second.check({"ICE-CONTROLLING": 1}), second.address)
        assert pair.task is not None
        assert pair.task.done()


@asynccontextmanager
async def connected_by_the_first_of_two(*, controlling: bool = False) -> AsyncIterator[tuple[Connection, Path]]:
    """Yield a connection of which one path was nominated, and the other path, whose check was given up."""
    ours = Connection(ice_controlling=controlling)
    with ours_guarded():
        [own] = await ours.get_component_candidates(component=1, addresses=["127.0.0.1"])
    ours._local_candidates, ours._local_candidates_end = [own], True
    ours.remote_username, ours.remote_password = "them", "p" * 22
    first, second = [await Path.open(ours) for _ in range(2)]
    first.answers, second.answers = not controlling, False
    for path in (first, second):
        host, port = path.address
        await ours.add_remote_candidate(Candidate(f"f{port}", 1, "udp", port, host, port, "host"))
    await ours.add_remote_candidate(None)
    try:
        async with asyncio.timeout(10):
            connecting = asyncio.create_task(ours.connect())
            await second.asked.wait()
            first.answers = True
            if not controlling:
                first.nominate()
            await connecting
            yield ours, second
    finally:
        first.transport.close()
        second.transport.close()
        await ours.close()


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
