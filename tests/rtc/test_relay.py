"""The network in a scenario's caller: what it does to datagrams between two sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.clock import monotonic
from signaling.load.relay import Relay
from signaling.load.scenario import Network, Outage, Way

RTP = bytes([0x80, 111]) + bytes(20)
STUN = bytes([0, 1]) + bytes(18)


class Line:
    """A caller and a service with a relay between them."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.service, self.caller = (_udp() for _ in range(2))
        own, ports = self.caller.getsockname()[1], [self.service.getsockname()[1]]
        offer = relay.offered(_description(f"candidate:1 1 udp 1 127.0.0.1 {own} typ host"))
        [line] = [line for line in offer.split("\r\n") if line.startswith("a=candidate")]
        self.far = ("127.0.0.1", int(line.split()[5]))
        assert self.far[1] != own
        answer = relay.answered(
            _description(
                *(f"candidate:1 1 udp 1 127.0.0.1 {port} typ host generation 0" for port in ports),
                "candidate:2 1 tcp 1 127.0.0.1 9 typ host tcptype passive",
                "candidate:3 1 udp 1 unresolved.local 9 typ host",
                "candidate:4 1 udp 1 ::1 9 typ host",
                "candidate:5 1 udp 1 192.0.2.9 9 typ srflx raddr 127.0.0.1 rport 9",
            )
        )
        [line] = [line for line in answer.split("\r\n") if line.startswith("a=candidate")]
        self.near = (line.split()[4], int(line.split()[5]))
        assert self.near[1] != ports[0]

    async def up(self, data: bytes = RTP, wait_s: float = 1.0) -> tuple[bytes, tuple[str, int]] | None:
        """Send to the service; return what it got, and from where."""
        self.caller.sendto(data, self.near)
        return await _next(self.service, wait_s)

    async def down(self, data: bytes, to: tuple[str, int], wait_s: float = 1.0) -> bytes | None:
        self.service.sendto(data, to)
        got = await _next(self.caller, wait_s)
        return None if got is None else got[0]


def _udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(("127.0.0.1", 0))
    return made


def _description(*candidates: str) -> str:
    return "\r\n".join(["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", *(f"a={each}" for each in candidates), ""])


async def _next(at: socket.socket, wait_s: float) -> tuple[bytes, tuple[str, int]] | None:
    try:
        async with asyncio.timeout(wait_s):
            data, source = await asyncio.get_running_loop().sock_recvfrom(at, 2000)
            return data, source
    except TimeoutError:
        return None


@asynccontextmanager
async def line(network: Network | None = None) -> AsyncIterator[Line]:
    relay = Relay(network or Network(), 1)
    made = Line(relay)
    relay.began(monotonic())
    try:
        yield made
    finally:
        relay.close()
        made.service.close()
        made.caller.close()


async def test_datagrams_pass_both_ways_until_it_is_cut() -> None:
    async with line() as made:
        got = await made.up(RTP)
        assert got is not None
        data, relay = got
        assert (data, relay) == (RTP, made.far)
        assert await made.down(STUN, relay) == STUN
        stranger = _udp()
        stranger.sendto(b"hello", made.near)
        stranger.sendto(b"hello", made.far)
        assert await _next(made.service, 0.2) is None
        assert await _next(made.caller, 0.2) is None
        stranger.close()
        made.relay.cut()
        assert await made.up(RTP, 0.2) is None
        assert await made.down(RTP, relay, 0.2) is None


async def test_each_direction_has_its_own_losses() -> None:
    async with line(Network(down=Way(loss_percent=100))) as made:
        got = await made.up(RTP)
        assert got is not None
        assert await made.down(RTP, got[1], 0.2) is None
        assert made.relay.down.media.lost == 1
        assert made.relay.up.media.passed == 1


async def test_packets_are_delayed() -> None:
    async with line(Network(up=Way(delay_ms=300))) as made:
        began = monotonic()
        assert await made.up(RTP, 10) is not None
        assert monotonic() - began >= 0.29
        began = monotonic()
        made.caller.sendto(STUN, made.near)
        assert await _next(made.service, 10) is not None
        assert monotonic() - began >= 0.29, "ICE has the same network"


async def test_an_outage_counts_from_the_connection() -> None:
    async with line(Network(up=Way(outages=(Outage(at_s=0, for_s=1),)))) as made:
        assert await made.up(RTP, 0.1) is None
        await asyncio.sleep(1)
        assert await made.up(RTP, 5) is not None


async def test_it_closes_with_packets_on_their_way() -> None:
    async with line(Network(up=Way(delay_ms=60_000))) as made:
        assert await made.up(RTP, 0.1) is None
