"""Drop datagrams that are malformed or do not come from a call's own peer before aioice and aiortc see them.

aioice passes every datagram that is not STUN to the DTLS transport, whoever sent it, and aiortc reads the first
byte even of an empty one: a single datagram from anybody could end a call. Under uvloop an exception in
``datagram_received`` also closes the socket. So `guard` replaces aioice's `StunProtocol` by a stricter class, for
every media socket of the process, including relayed ones. It drops

- datagrams whose first byte belongs to no protocol on the socket (RFC 7983 section 7): empty ones, ZRTP, TURN
  channels;
- STUN without the magic cookie, with a wrong length, or with unreadable attributes (RFC 8489 section 5);
- DTLS, RTP and RTCP from an address that is in no candidate pair of this call; once a pair is nominated, from an
  address that has passed no check of ours and has sent none that we answered. The peer may send on any pair that is
  valid for it (RFC 8445 section 12.2); aioice sends on the pair that was nominated last, which need not be ours;
- checks from too many addresses, and datagrams that come faster than they are read.

It also starts a check anew that aioice gave up when another pair was nominated first, once the peer nominates that
pair: aioice would never finish it, and could not follow a browser to a better path.

Only this file and the other taps use private names of aiortc and aioice. If the guard cannot be used, `why_not`
says why.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import aioice.ice
from aioice import stun
from aioice.ice import CandidatePair, Connection, StunProtocol
from aiortc import RTCPeerConnection

from agent.media.tap.audio import version
from agent.media.tap.guard import MALFORMED

logger = logging.getLogger(__name__)

AIOICE_SERIES = "0.13."
MAGIC_COOKIE = b"\x21\x12\xa4\x42"
STUN_HEADER_BYTES = 20
MAX_REMOTE_ADDRESSES = 64  # per call: those of its candidates, and those from which its checks come
MAX_WAITING_DATAGRAMS = 512
_ICE_TRANSPORTS = "_RTCPeerConnection__iceTransports"

UNREADABLE = (*MALFORMED, OSError)
"""What aioice and aiortc raise when a datagram is malformed or an answer cannot be sent."""

dropped: Counter[str] = Counter()
"""Datagrams that this process has dropped, by kind: ``malformed``, ``stranger`` or ``flood``."""

_plain_protocol = StunProtocol


def why_not() -> str | None:
    """Return why the guard cannot be used, or None if it can."""
    installed = version("aioice")
    if not installed.startswith(AIOICE_SERIES):
        return f"aioice {installed} is not {AIOICE_SERIES}x"
    return None


def guard() -> bool:
    """Guard every media socket that this process opens from now on.

    Returns:
        False if this aioice cannot be guarded; then nothing was changed.
    """
    if why_not() is not None:
        return False
    aioice.ice.StunProtocol = GuardedProtocol  # type: ignore[misc]
    return True


class GuardedProtocol(_plain_protocol):
    """A media socket of one call."""

    def __init__(self, receiver: Connection) -> None:
        super().__init__(receiver)
        self._answered: set[tuple[Any, ...]] = set()  # where checks with the right password came from

    def send_stun(self, message: stun.Message, addr: tuple[Any, ...]) -> None:
        """Send a check, or the answer to one; aioice answers only those with the right password with success."""
        if message.message_class is stun.Class.RESPONSE:
            self._answered.add(addr[:2])
        super().send_stun(message, cast("tuple[str, int]", addr))

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take an untrusted datagram: any bytes, from any address."""
        data = cast("bytes", data)
        first = data[0] if data else 255
        try:
            if 127 < first < 192 or 19 < first < 64:
                self._take_media(data, addr)
            elif first < 4 and data[4:8] == MAGIC_COOKIE and len(data) == STUN_HEADER_BYTES + _stun_length(data):
                self._take_stun(data, addr)
            else:
                dropped["malformed"] += 1
        except UNREADABLE as error:
            dropped["malformed"] += 1
            logger.debug("dropped an unreadable datagram: %s", type(error).__name__)

    def _take_media(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Pass on DTLS, RTP and RTCP if it comes from the peer."""
        connection = self.receiver
        pair = connection._nominated.get(1)
        nominated = pair is not None and pair.protocol is self and _is_from(addr, pair)
        if not nominated and not self._knows(addr, valid=pair is not None):
            dropped["stranger"] += 1
            return
        if connection._queue.qsize() >= MAX_WAITING_DATAGRAMS:
            dropped["flood"] += 1
            return
        connection.data_received(data, self.local_candidate.component)

    def _take_stun(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Pass on STUN; aioice authenticates requests (RFC 8445 section 7.3)."""
        candidates = self.receiver._remote_candidates
        if len(candidates) >= MAX_REMOTE_ADDRESSES and not any(_is_at(addr, each) for each in candidates):
            dropped["flood"] += 1
            return
        super().datagram_received(data, addr)
        pair = self._pair_with(addr)
        if pair is not None and pair.remote_nominated and not self.receiver._closing:
            self._check_anew(pair)

    def _check_anew(self, pair: CandidatePair) -> None:
        """Start the check of a nominated pair again if it was cancelled (RFC 8445 section 7.3.1.4)."""
        if pair.state is CandidatePair.State.IN_PROGRESS and pair.task is not None and pair.task.done():
            pair.task = None
            self.receiver.check_start_task(pair)

    def _pair_with(self, addr: tuple[Any, ...]) -> CandidatePair | None:
        pairs = self.receiver._check_list
        return next((pair for pair in pairs if pair.protocol is self and _is_from(addr, pair)), None)

    def _knows(self, addr: tuple[Any, ...], *, valid: bool) -> bool:
        """Return True if the peer sent a check from that address, or a pair (a valid one if ``valid``) has it."""
        if addr[:2] in self._answered:
            return True
        pair = self._pair_with(addr)
        return pair is not None and (not valid or pair.state is CandidatePair.State.SUCCEEDED)


def _stun_length(data: bytes) -> int:
    return data[2] << 8 | data[3]


def _is_from(addr: tuple[Any, ...], pair: CandidatePair) -> bool:
    return _is_at(addr, pair.remote_candidate)


def _is_at(addr: tuple[Any, ...], candidate: Any) -> bool:
    return bool(addr[1] == candidate.port and addr[0] == candidate._network_host)


def limit_gathering(pc: RTCPeerConnection, timeout_s: float, own_addresses: list[str] | None = None) -> None:
    """Limit how a peer connection gathers its own candidates; call it before setLocalDescription.

    Args:
        pc: the peer connection, with its media sections.
        timeout_s: how long STUN and TURN servers may take; later answers are not waited for.
        own_addresses: this machine's addresses on which to open sockets; None means all but loopback.
    """
    for transport in getattr(pc, _ICE_TRANSPORTS, ()):
        _limit(transport._connection, timeout_s, own_addresses)


def _limit(connection: Connection, timeout_s: float, own_addresses: list[str] | None) -> None:
    gather: Any = Connection.get_component_candidates
    itself = weakref.ref(connection)  # a reference cycle would keep the connection until garbage is collected

    async def gather_within(*, component: int, addresses: list[str]) -> list[aioice.Candidate]:
        wanted = addresses if own_addresses is None else own_addresses
        found: list[aioice.Candidate] = await gather(
            itself(), component=component, addresses=wanted, timeout=timeout_s
        )
        return found

    connection.get_component_candidates = gather_within  # type: ignore[method-assign,assignment]


def note_path(pc: RTCPeerConnection, opened: Callable[[], None]) -> None:
    """Call ``opened`` once the peer has answered one of our checks, and so exists and wants the call.

    To answer, it must know the offer's password and receive packets at its address. The DTLS handshake comes after
    that. ``opened`` may be called more than once.

    Args:
        pc: the peer connection, with its media sections.
        opened: must not raise.
    """
    for transport in getattr(pc, _ICE_TRANSPORTS, ()):
        _note_path(transport._connection, opened)

    def state_changed() -> None:
        if pc.iceConnectionState == "completed":
            opened()

    pc.on("iceconnectionstatechange", state_changed)


def _note_path(connection: Connection, opened: Callable[[], None]) -> None:
    if not hasattr(connection, "check_complete"):
        return

    def check_complete(pair: CandidatePair) -> None:
        Connection.check_complete(pair.protocol.receiver, pair)
        if pair.state is CandidatePair.State.SUCCEEDED:
            opened()

    connection.check_complete = check_complete  # type: ignore[method-assign]
