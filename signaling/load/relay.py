"""The network between a caller and a service: a relay on this machine that loses and delays what passes through it.

The candidates in offer and answer are replaced by the relay's, so that every packet of the call, of media, DTLS and
ICE, passes through it. It needs no privileges.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from agent.clock import monotonic
from signaling.load.impairment import Impairment
from signaling.load.scenario import Network, Way

logger = logging.getLogger(__name__)

MAX_WAITING = 20_000
MAX_DATAGRAM_BYTES = 65_536


class Address(NamedTuple):
    """An IP address and a port."""

    ip: str
    port: int


class Relay:
    """What lies between one caller and the service; use it for one connection, and close it.

    It leaves each side a single address of the other, so that there is nothing that they could choose differently.

    Args:
        network: what happens to packets.
        seed: decides which ones. Voice has dice of its own, so that the same packets of it are lost each time.
        version: of IP, if the caller has an address of that version.
    """

    def __init__(self, network: Network, seed: int, version: int = 4) -> None:
        self._loop = asyncio.get_running_loop()
        self._version = version
        self._caller: Address | None = None
        self._service: Address | None = None
        self._far: socket.socket | None = None  # speaks to the service for the caller
        self._near: socket.socket | None = None  # speaks to the caller for the service
        self._waiting: set[asyncio.TimerHandle] = set()
        self._cut = False
        self.up = _Direction(network.up, seed * 4)
        "From the caller to the service."
        self.down = _Direction(network.down, seed * 4 + 2)

    def offered(self, description: str) -> str:
        """Put one address of the relay in place of the caller's."""
        own = _host_addresses(description)
        fitting = [each for each in own if _version(each.ip) == self._version] or own
        if not fitting:
            return _with_candidate(description, None, None)
        usual_ip = _usual_ip(_version(fitting[0].ip))
        self._caller = next((each for each in fitting if each.ip == usual_ip), fitting[0])
        self._far = _bound(self._caller.ip)
        self._loop.add_reader(self._far, self._from_service, self._far)
        return _with_candidate(description, self._caller, self._far)

    def answered(self, description: str) -> str:
        """Put one address of the relay in place of the service's."""
        if self._caller is None:
            return _with_candidate(description, None, None)
        version = _version(self._caller.ip)
        services = _host_addresses(description)
        self._service = next((each for each in services if _version(each.ip) == version), None)
        self._near = _bound(self._caller.ip)
        self._loop.add_reader(self._near, self._from_caller, self._near)
        return _with_candidate(description, self._service, self._near)

    def began(self, now: float) -> None:
        """Say that the media connection is up: outages count from now."""
        self.up.began(now)
        self.down.began(now)

    def cut(self) -> None:
        """Let nothing pass any more, in either direction."""
        self._cut = True

    def close(self) -> None:
        """Close all sockets; packets on their way are gone."""
        self._cut = True
        for handle in self._waiting:
            handle.cancel()
        for each in filter(None, (self._far, self._near)):
            self._loop.remove_reader(each)
            each.close()

    def _carry(self, way: _Direction, data: bytes, send: Callable[[bytes], None]) -> None:
        """Send a packet when it arrives, if it does."""
        now = monotonic()
        arrival = None if self._cut or len(self._waiting) >= MAX_WAITING else way.arrival(data, now)
        if arrival is None:
            return
        if arrival <= now:
            send(data)
            return

        def arrive() -> None:
            self._waiting.discard(handle)
            send(data)

        handle = self._loop.call_later(arrival - now, arrive)
        self._waiting.add(handle)

    def _from_service(self, far: socket.socket) -> None:
        for data, source in _received(far):
            if self._near is not None and source[:2] == self._service:
                self._carry(self.down, data, partial(_send, self._near, to=self._caller))

    def _from_caller(self, near: socket.socket) -> None:
        for data, source in _received(near):
            if self._far is not None and source[:2] == self._caller:
                self._carry(self.up, data, partial(_send, self._far, to=self._service))


class _Direction:
    """One direction's dice: one pair for voice and pictures, one for everything else."""

    def __init__(self, way: Way, seed: int) -> None:
        self._way = way
        self._seed = seed
        self.media = self._other = Impairment(way, random.Random(seed))  # noqa: S311 - dice of a test
        self.began(float("inf"))

    def began(self, now: float) -> None:
        self.media = Impairment(self._way, random.Random(self._seed), now)  # noqa: S311 - as above
        self._other = Impairment(self._way, random.Random(self._seed + 1), now)  # noqa: S311 - as above

    def arrival(self, data: bytes, now: float) -> float | None:
        """RFC 7983 and RFC 5761 tell RTP from what shares its port."""
        is_rtp = len(data) > 1 and 127 < data[0] < 192 and not 192 <= data[1] <= 223
        return (self.media if is_rtp else self._other).arrival(now)


def _host_address(line: str) -> Address | None:
    """Return the address in a candidate of a host itself; None if the line is anything else."""
    fields = line.split()
    if not line.startswith("a=candidate:") or len(fields) < 8 or fields[2].lower() != "udp" or fields[7] != "host":
        return None
    return Address(fields[4], int(fields[5])) if _version(fields[4]) and fields[5].isdecimal() else None


def _host_addresses(description: str) -> list[Address]:
    found = map(_host_address, description.split("\r\n"))
    return [address for address in found if address is not None]


def _with_candidate(description: str, kept: Address | None, instead: socket.socket | None) -> str:
    """Return a description with a socket's address in place of one that is kept; all others are left out."""
    lines: list[str] = []
    for line in description.split("\r\n"):
        if not line.startswith("a=candidate:"):
            lines.append(line)
        elif instead is not None and kept is not None and _host_address(line) == kept:
            fields, (ip, port) = line.split(), instead.getsockname()[:2]
            lines.append(" ".join([*fields[:4], ip, str(port), *fields[6:8]]))
    return "\r\n".join(lines)


def _usual_ip(version: int) -> str | None:
    """Return the address from which this machine reaches others; nothing is sent."""
    family, elsewhere = (socket.AF_INET6, "2001:db8::1") if version == 6 else (socket.AF_INET, "203.0.113.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return None


def _bound(ip: str) -> socket.socket:
    own = socket.socket(socket.AF_INET6 if _version(ip) == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    own.setblocking(False)
    own.bind((ip, 0))
    return own


def _version(ip: str) -> int:
    try:
        return ipaddress.ip_address(ip).version
    except ValueError:
        return 0


def _received(source: socket.socket) -> list[tuple[bytes, Any]]:
    """Return the datagrams that have come, a hundred at most."""
    found: list[tuple[bytes, Any]] = []
    while len(found) < 100:
        try:
            found.append(source.recvfrom(MAX_DATAGRAM_BYTES))
        except OSError:  # there is none, or an ICMP error tells that an earlier one did not arrive
            break
    return found


def _send(through: socket.socket, data: bytes, *, to: Any) -> None:
    try:
        through.sendto(data, to)
    except OSError as error:  # as lost as on any network
        logger.debug("a packet could not be sent: %s", error)
