"""A caller who has gone is noticed, whatever somebody else sends from the same address."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from agent.media.tap import arrivals as tap_arrivals
from agent.media.tap import audio as tap
from signaling.client.caller import Caller, call_service
from tests.support.service import ServiceFactory

GRACE_S = 1.5
FORGE_STEP_S = 0.05


def forged(ssrc: int) -> Iterator[bytes]:
    """Yield what looks like the caller's RTP, RTCP and DTLS, but is not signed."""
    rng = random.Random(1)
    sequence = 0
    while True:
        sequence += 1
        yield struct.pack("!BBHII", 0x80, 96, sequence & 0xFFFF, sequence * 960, ssrc) + rng.randbytes(60)
        yield struct.pack(
            "!BBHII", 0x80, 111, sequence & 0xFFFF, sequence * 960, rng.getrandbits(32)
        ) + rng.randbytes(60)
        yield struct.pack("!BBHI", 0x80, 201, 7, ssrc) + rng.randbytes(24 + 14)
        yield b"\x17\xfe\xfd" + struct.pack("!HHIH", 1, 0, sequence, 40) + rng.randbytes(40)
        yield b"\x15\xfe\xfd" + struct.pack("!HHIH", 0, 0, sequence, 2) + b"\x01\x00"  # close notify, in the clear


def silence(caller: Caller) -> tuple[Callable[[bytes], None], int]:
    """Have the caller sign and send nothing more; return what sends from its socket, and its SSRC."""
    [sender] = caller.pc.getSenders()
    dtls: Any = sender.transport
    ice = dtls.transport._connection
    pair = ice._nominated[1]
    plain = pair.protocol.transport

    async def send_nothing(_data: bytes) -> None:
        pass

    dtls.transport._send = send_nothing
    return lambda data: plain.sendto(data, pair.remote_addr), sender._ssrc


async def has_ended(http: aiohttp.ClientSession, location: str, within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    limit = loop.time() + within_s
    while loop.time() < limit:
        async with http.get(location) as response:
            if response.status == 404:
                return True
        await asyncio.sleep(0.1)
    return False


@asynccontextmanager
async def flooding(send: Callable[[bytes], None], ssrc: int) -> AsyncIterator[None]:
    async def flood() -> None:
        datagrams = forged(ssrc)
        while True:
            for _ in range(5):
                send(next(datagrams))
            await asyncio.sleep(FORGE_STEP_S)

    task = asyncio.create_task(flood())
    try:
        yield
    finally:
        task.cancel()


@pytest.fixture(params=[True, False], ids=["tapped", "untapped"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(tap, "why_not", lambda _receiver=None: "not wanted here")


@pytest.mark.usefixtures("_way")
async def test_forged_packets_keep_no_dead_call(service: ServiceFactory) -> None:
    async with service(ice_grace_s=GRACE_S) as url, aiohttp.ClientSession() as http, call_service(url) as caller:
        await caller.message("bot-ready")
        send, ssrc = silence(caller)
        assert caller.location is not None
        async with flooding(send, ssrc):
            assert await has_ended(http, caller.location, within_s=GRACE_S + 5)


@pytest.mark.usefixtures("_way")
async def test_forged_packets_end_no_call(service: ServiceFactory) -> None:
    """Knowing the address is not enough to hang up for the caller either."""
    async with service(ice_grace_s=GRACE_S) as url, aiohttp.ClientSession() as http, call_service(url) as caller:
        await caller.message("bot-ready")
        [sender] = caller.pc.getSenders()
        pair = sender.transport.transport._connection._nominated[1]
        assert caller.location is not None
        async with flooding(lambda data: pair.protocol.transport.sendto(data, pair.remote_addr), sender._ssrc):
            assert not await has_ended(http, caller.location, within_s=2 * GRACE_S)


@pytest.mark.parametrize("speaks", [True, False])
async def test_what_the_caller_signed_keeps_the_call(service: ServiceFactory, speaks: bool) -> None:
    """A caller who only listens sends RTCP, every 0.5 to 1.5 s."""
    async with (
        service(ice_grace_s=2 * GRACE_S) as url,
        aiohttp.ClientSession() as http,
        call_service(url, speaks=speaks) as caller,
    ):
        await caller.message("bot-ready")
        assert caller.location is not None
        assert not await has_ended(http, caller.location, within_s=3 * GRACE_S)


async def test_another_aiortc_is_watched_by_its_own_counters(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_arrivals, "_RTP", "_no_such_name")
    async with service(ice_grace_s=GRACE_S) as url, aiohttp.ClientSession() as http, call_service(url) as caller:
        await caller.message("bot-ready")
        assert caller.location is not None
        assert not await has_ended(http, caller.location, within_s=2 * GRACE_S)
        silence(caller)
        assert await has_ended(http, caller.location, within_s=GRACE_S + 5)
