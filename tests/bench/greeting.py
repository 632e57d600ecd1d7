"""``python -m tests.bench.greeting``: how long a caller waits for the agent's first words, and for what.

Callers call one after the other, each when the one before has hung up. The service is a process of its own, and the
Live server is the local emulator, which answers at once and has no network before it. The wait runs from the moment
the offer is sent to the arrival of the packet in which the greeting begins, both at the caller.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Annotated

import aiohttp
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from agent.media.inbound import PacketInlet
from agent.media.rtp import RtpPacket
from tests.bench.line import TakePacket, call_service
from tests.bench.load import Mute
from tests.bench.service import ROOT, Service, clean_environment, running_process

AUDIBLE = 300  # of 32768
LIMIT_S = 15.0  # for one greeting
PARTS = {
    "answer": "the answer to the offer",
    "ice": "ICE",
    "dtls": "DTLS",
    "live": "Live session ready, after DTLS",
    "first_audio": "first sound, after both",
    "whole": "the whole wait",
}

console = Console()


async def greeted(service: Service) -> dict[str, float]:
    """Call, hear the first of the greeting, and hang up; return the parts of the wait in ms."""
    at: dict[str, float] = {}
    heard = asyncio.Event()

    def reached(instant: str) -> None:
        at.setdefault(instant, monotonic())

    def on_sound() -> None:
        reached("heard")
        heard.set()

    def listener(payloads: Mapping[int, str]) -> TakePacket:
        return _listen(PacketInlet(payloads), on_sound)

    async with call_service(service, Mute(), listener, reached=reached) as line, asyncio.timeout(LIMIT_S):
        await heard.wait()
        async with service.http.get(line.location) as response:
            live_ms = (await response.json())["set_up_stages"]["agent_ms"]
    ends = [at[instant] for instant in ("offer", "answer", "ice", "dtls", "heard")]
    answer, ice, dtls, rest = (1e3 * float(took) for took in np.diff(ends))
    return {
        "answer": answer,
        "ice": ice,
        "dtls": dtls,
        "live": live_ms,
        "first_audio": rest - live_ms,
        "whole": 1e3 * (ends[-1] - ends[0]),
    }


def _listen(inlet: PacketInlet, on_sound: Callable[[], None]) -> TakePacket:
    def take(packet: RtpPacket) -> None:
        if any(np.abs(pcm.astype(np.int32)).max(initial=0) > AUDIBLE for pcm in inlet.push(packet, monotonic())):
            on_sound()

    return take


async def measure(calls: int) -> list[dict[str, float]]:
    """Call so many times; the first call is another matter: it loads what all others find."""
    serve = (sys.executable, "-m", "signaling", "serve", str(ROOT / "examples/hello.py"), "--port", "0")
    async with running_process(serve, clean_environment()) as (url, pid), aiohttp.ClientSession() as http:
        service = Service("talkspurt", url, pid, 0, http)
        return [await greeted(service) for _ in range(calls)]


def run(calls: Annotated[int, typer.Option(min=2, max=500, help="How many, one after the other.")] = 30) -> None:
    """Measure how long callers wait for the greeting."""
    first, *others = asyncio.run(measure(calls))
    table = Table("ms", "p50", "p95", "first call", title=f"{calls} calls, load {os.getloadavg()[0]:.1f}")
    for part, name in PARTS.items():
        p50, p95 = np.percentile([each[part] for each in others], (50, 95), method="higher")
        table.add_row(name, f"{p50:.0f}", f"{p95:.0f}", f"{first[part]:.0f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(run)
