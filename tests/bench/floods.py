"""What a call notices while strangers and other callers flood the service: ``python -m tests.bench.floods``.

One call listens to the service while, in a process of their own, others do what they should not. Printed are how
much they did, what the service answered or dropped, and the longest gap between two frames that the call heard,
beside that of a quiet time in the same run. All traffic stays on this machine, and each flood ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from signaling.client.caller import Caller, Microphone, call_service
from tests.bench.service import running_process
from tests.support.http import CHROMIUM_OFFER, SDP

FLOOD_S = 5.0
Addresses = list[tuple[str, int]]


class Victim:
    """Notes when frames of a call come."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.times: list[float] = []
        self._changed = caller.changed
        caller.changed = self._note  # type: ignore[method-assign]

    def _note(self) -> None:
        self.times.append(time.perf_counter())
        self._changed()

    def longest_gap_ms(self, since: float) -> float:
        came = [since, *(at for at in self.times if at >= since), time.perf_counter()]
        return max(later - at for at, later in pairwise(came)) * 1e3


def media_addresses(answer: str) -> Addresses:
    found = re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer, re.MULTILINE)
    return [(host, int(port)) for host, port in found if ":" not in host]


async def datagrams(_url: str, addresses: Addresses) -> Counter[str]:
    """Send what no parser can take, and what looks like media, from a stranger's address."""
    rng, done = random.Random(1), Counter[str]()
    until = time.perf_counter() + FLOOD_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        while time.perf_counter() < until:
            for _ in range(50):
                data = rng.randbytes(rng.choice((0, 1, 20, 28, 172, 1200)))
                with suppress(OSError):
                    stranger.sendto(data, addresses[0])
                done["sent"] += 1
            await asyncio.sleep(0.005)
    return done


async def half_requests(url: str, _addresses: Addresses) -> Counter[str]:
    """Hold connections that never finish a request, and see whether a new client is answered."""
    done, parts = Counter[str](), urlsplit(url)
    async with AsyncExitStack() as stack:
        for _ in range(1100):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            stack.callback(writer.close)
            writer.write(b"POST /whip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Ty")
            done["opened"] += 1
        async with aiohttp.ClientSession() as http, http.get(f"{url}healthz") as response:
            done[f"a new client: {response.status}"] += 1
    return done


async def offers(url: str, _addresses: Addresses) -> Counter[str]:
    """Offer calls that never connect."""
    done = Counter[str]()
    async with aiohttp.ClientSession() as http:
        for _ in range(100):
            async with http.post(f"{url}whip", data=CHROMIUM_OFFER, headers=SDP) as response:
                done[str(response.status)] += 1
    return done


async def candidates(url: str, _addresses: Addresses) -> Counter[str]:
    """Trickle as many candidates as a body holds, twelve times."""
    done = Counter[str]()
    found = re.search(r"a=ice-ufrag:(\S+)\r\na=ice-pwd:(\S+)", CHROMIUM_OFFER)
    assert found is not None
    head = f"a=ice-ufrag:{found[1]}\r\na=ice-pwd:{found[2]}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}whip", data=CHROMIUM_OFFER, headers=SDP) as response:
            location, etag = response.headers["Location"], response.headers["ETag"]
        for start in range(12):
            lines = [f"a=candidate:1 1 udp 5 8.8.{start}.{n % 250} {1024 + n} typ host\r\n" for n in range(1150)]
            headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag}
            async with http.patch(url + location[1:], data=head + "".join(lines), headers=headers) as response:
                done[str(response.status)] += 1
    return done


async def long_message(url: str, _addresses: Addresses) -> Counter[str]:
    """Send 16 MiB in one message over a data channel of a call of one's own."""
    async with call_service(url) as caller:
        await caller.message("bot-ready")
        sctp: Any = caller.pc.sctp
        sctp._remote_max_message_size = 0
        caller.send_text("x" * (16 << 20))
        await caller.until(lambda: caller._channel.readyState == "closed", 20)
    return Counter({"channel closed": 1})


async def fast_voice(url: str, _addresses: Addresses) -> Counter[str]:
    """Send audio thirty times as fast as it is spoken."""
    done = Counter[str]()
    async with call_service(url) as caller:
        await caller.message("bot-ready")
        sender: Any = caller.pc.getSenders()[0]
        transport, until = sender.transport, time.perf_counter() + FLOOD_S
        sequence, payload = 0, bytes([0xF8, 0xFF, 0xFE])
        while time.perf_counter() < until:
            for _ in range(30):
                sequence += 1
                header = b"\x80\x60" + (sequence & 0xFFFF).to_bytes(2, "big") + (sequence * 960).to_bytes(4, "big")
                await transport._send_rtp(header + (77).to_bytes(4, "big") + payload)
                done["packets"] += 1
            await asyncio.sleep(0.01)
    return done


FLOODS = {
    "datagrams of a stranger": datagrams,
    "1,100 half requests": half_requests,
    "100 offers that never connect": offers,
    "12 x 1,150 candidates": candidates,
    "a message of 16 MiB": long_message,
    "3,000 packets of voice a second": fast_voice,
}


async def measure() -> None:
    table = Table("flood", "what came of it", "longest gap ms", "quiet ms")
    environment = {**os.environ, "TALKSPURT_MAX_CALLS": "100", "TALKSPURT_OVERLOAD_LAG_MS": "10000"}
    command = (sys.executable, "-m", "signaling", "serve", "--port", "0")
    async with running_process(command, environment) as (url, _pid):
        for name in FLOODS:
            async with call_service(url, microphone=Microphone()) as caller:
                await caller.message("bot-ready", timeout_s=30)
                caller.microphone.play(np.zeros(48_000, np.int16))
                victim = Victim(caller)
                began = time.perf_counter()
                await asyncio.sleep(FLOOD_S)
                quiet_ms = victim.longest_gap_ms(began)
                addresses = media_addresses(caller.pc.remoteDescription.sdp)
                began = time.perf_counter()
                arguments = (name, url, *(f"{host}:{port}" for host, port in addresses))
                flood = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.bench.floods", *arguments), stdout=asyncio.subprocess.PIPE
                )
                said, _ = await asyncio.wait_for(flood.communicate(), 60)
                gap_ms = victim.longest_gap_ms(began)
                lives = caller.pc.connectionState == "connected"
                outcome = said.decode().strip() or f"exit code {flood.returncode}"
                await asyncio.sleep(FLOOD_S)  # callers who never connected may keep others waiting for 4 s
                table.add_row(name, outcome, f"{gap_ms:.0f}" if lives else "the call ended", f"{quiet_ms:.0f}")
    Console(width=150).print(table)


async def attack(name: str, url: str, given: list[str]) -> None:
    addresses = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in given)]
    done = await FLOODS[name](url, addresses)
    print(", ".join(f"{what} {count}" for what, count in done.items()))


if __name__ == "__main__":
    asyncio.run(attack(sys.argv[1], sys.argv[2], sys.argv[3:]) if len(sys.argv) > 1 else measure())
