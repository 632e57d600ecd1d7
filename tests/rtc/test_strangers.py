"""Strangers send datagrams to a call's media sockets: the call goes on, and they are only counted."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
import pytest
import uvloop
from aiortc import RTCPeerConnection

from agent.emulator import running_emulator
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.media.tap.ice import MAGIC_COOKIE
from signaling.client import caller as headless
from signaling.client.caller import call_service
from tests.support.service import ServiceFactory, service_for

LENGTHS_BYTES = (1, 2, 4, 12, 19, 20, 28, 100)
Address = tuple[str, int]


def strange_datagrams(seed: int) -> Iterator[bytes]:
    """Yield empty ones, every first byte in several lengths, and STUN whose attributes make no sense."""
    rng = random.Random(seed)
    yield b""
    for first in range(256):
        for length in LENGTHS_BYTES:
            yield bytes([first]) + rng.randbytes(length - 1)
    kinds = (0x0001, 0x0101, 0x0111, 0x0011, 0x0003, 0x3FFF)
    attributes = (0x0001, 0x0006, 0x0008, 0x0009, 0x0019, 0x0020, 0x0024, 0x0025, 0x8028, 0x8029, 0x802A, 0x7777)
    for kind in kinds:
        for attribute in attributes:
            for claimed, given in ((0, 0), (1, 4), (3, 4), (4, 4), (8, 8), (5, 8), (65_535, 4), (20, 20)):
                body = struct.pack("!HH", attribute, claimed) + rng.randbytes(given)
                yield struct.pack("!HH", kind, len(body)) + MAGIC_COOKIE + rng.randbytes(12) + body


def media_addresses(answer: str) -> list[Address]:
    """Return where the service waits for media."""
    found = re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer, re.MULTILINE)
    return [(host, int(port)) for host, port in found if ":" not in host]


def sweep(answer: str, seed: int) -> None:
    """Send all strange datagrams to each socket, from an address of one's own."""
    addresses = media_addresses(answer)
    assert addresses, answer
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for data in strange_datagrams(seed):
            for address in addresses:
                with suppress(ConnectionError):
                    stranger.sendto(data, address)


@pytest.fixture
def _sweeps_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the sockets swept between the answer and the first check, and all through the handshakes."""
    ask = headless._offer
    tasks: list[asyncio.Task[None]] = []

    async def ask_and_sweep(
        http: aiohttp.ClientSession, url: str, offer: str, state: str | None
    ) -> tuple[str, str]:
        location, answer = await ask(http, url, offer, state)
        sweep(answer, 1)
        tasks.append(asyncio.create_task(go_on(answer)))
        return location, answer

    async def go_on(answer: str) -> None:
        for seed in range(2, 6):
            await asyncio.sleep(0.02)
            sweep(answer, seed)

    monkeypatch.setattr(headless, "_offer", ask_and_sweep)


async def talk_while_swept(url: str) -> None:
    async with call_service(url) as caller:
        await caller.message("bot-ready")
        for seed in range(6, 10):
            sweep(caller.pc.remoteDescription.sdp, seed)
            await asyncio.sleep(0.02)
        caller.type("what is twelve plus thirty")
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=20)
        assert "42" in said["text"]
        assert caller.pc.connectionState == "connected"


@pytest.mark.usefixtures("_sweeps_while_connecting")
@pytest.mark.parametrize("tapped", [True, False])
async def test_a_sweep_ends_no_call(service: ServiceFactory, monkeypatch: pytest.MonkeyPatch, tapped: bool) -> None:
    if not tapped:
        monkeypatch.setattr(tap, "why_not", lambda _receiver=None: "not wanted here")
    before = tap_ice.dropped.copy()
    async with service() as url:
        await talk_while_swept(url)
    strange = tap_ice.dropped - before
    assert strange["malformed"] > 100  # the rest did not fit into the socket
    assert strange["stranger"] > 100  # the rest did not fit into the socket


@pytest.mark.usefixtures("_sweeps_while_connecting")
def test_a_sweep_ends_no_call_on_uvloop() -> None:
    """In uvloop an exception in a datagram's callback closes the socket."""

    async def main() -> None:
        async with (
            running_emulator(speech_recognition=False) as emulator,
            service_for(emulator, offline_demo=True) as url,
        ):
            await talk_while_swept(url)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_gathering_is_bounded() -> None:
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    tap_ice.limit_gathering(pc, 0.0, ["127.0.0.1"])
    await pc.setLocalDescription(await pc.createOffer())
    hosts = {line.split()[4] for line in pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")}
    assert hosts == {"127.0.0.1"}
    await pc.close()
