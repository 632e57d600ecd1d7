"""Callers that cost the harness as little as callers can, so that one core of them loads one core of service.

They are connected by aiortc, then send packets that were encoded beforehand and only count what comes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from time import monotonic
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from agent.media.encode import voice_encoder
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ
from agent.media.rtp import RtpPacket
from tests.bench.line import Line, TakePacket, call_service
from tests.bench.live_server import CHUNK_S, LiveServer, Session
from tests.bench.markers import chatter
from tests.bench.service import Service
from tests.bench.video import Camera, clips

FRAME_S = 0.02
LATE_GAP_S = FRAME_S + 0.06  # between two packets of the agent's: the later one was more than 60 ms late
SLOTS = 10  # the callers are spread over 20 ms in so many groups
MOST_BEHIND_S = 0.1  # further behind, the load skips: a burst would measure the harness
LEAD_S = 0.4  # the model is so much ahead of what is heard
DIALLED_AT_ONCE = 4


@lru_cache(maxsize=1)
def speech_packets() -> list[bytes]:
    """Return 4 s of something like speech, encoded."""
    pcm = chatter(VOICE_RATE_HZ, 4.0, seed=11)
    encode = voice_encoder("opus").encode
    return [encode(pcm[start : start + FRAME_SAMPLES]) for start in range(0, len(pcm), FRAME_SAMPLES)]


class Mute(MediaStreamTrack):
    """Never has a packet: the load's own clock sends instead, at a fraction of a sender's cost."""

    kind = "audio"

    async def recv(self) -> av.Packet[Any]:
        await asyncio.Event().wait()
        raise MediaStreamError


class LightCaller:
    """One caller of the load."""

    def __init__(self) -> None:
        self.received = 0
        self.late_gaps = 0
        "Packets of the agent's voice that came more than 60 ms late, seen from here."
        self.camera: Camera | None = None
        self.line: Line
        self.session: Session
        self._received_at = 0.0
        self._payload_type = 0

    def open(self, payloads: Mapping[int, str]) -> TakePacket:
        """Return what takes the packets of a stream with these payload types."""
        self._payload_type = next(number for number, name in payloads.items() if name.lower() == "opus")

        def take(_packet: RtpPacket) -> None:
            now = monotonic()
            self.received += 1
            self.late_gaps += now - self._received_at > LATE_GAP_S
            self._received_at = now

        return take

    async def send(self, index: int, payload: bytes) -> None:
        """Send a packet past aiortc's sender, with its SSRC; encrypted and sent by the real transport."""
        sender = self.line.sender
        header = struct.pack(
            "!BBHII", 0x80, self._payload_type, index & 0xFFFF, index * 960 & 0xFFFFFFFF, sender._ssrc
        )
        await self.line.transport._send_rtp(header + payload)


class Load:
    """Callers that talk all the time, to agents that talk all the time; see `loading`."""

    def __init__(self) -> None:
        self.callers: list[LightCaller] = []
        self.sent = 0
        "Packets that the callers sent, all together."

    async def talk(self) -> None:
        """Send every caller's packets in real time; until cancelled."""
        packets = speech_packets()
        started = monotonic()
        index = 0
        while True:
            for slot in range(SLOTS):
                due = started + (index + slot / SLOTS) * FRAME_S
                await asyncio.sleep(max(0.0, due - monotonic()))
                if monotonic() - due > MOST_BEHIND_S:
                    started += monotonic() - due
                for number in range(slot, len(self.callers), SLOTS):
                    # Each caller is at another place in the speech, so that they do not all pause at once.
                    await self.callers[number].send(index, packets[(index + 17 * number) % len(packets)])
                    self.sent += 1
            index += 1

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """Have everybody talk while the context lasts."""
        calls = len(self.callers)
        tasks = [asyncio.create_task(self.talk())]
        for number, caller in enumerate(self.callers):
            delay_s = number / calls * CHUNK_S  # the models do not all send in one moment either
            tasks.append(asyncio.create_task(caller.session.chatter(LEAD_S, delay_s)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionError):
                    raise outcome


@asynccontextmanager
async def loading(service: Service, live: LiveServer, *, calls: int, video: bool = False) -> AsyncIterator[Load]:
    """Connect so many callers; nobody talks yet."""
    async with AsyncExitStack() as stack:
        load = Load()
        if video:
            clips()  # encoded before anybody is timed
        await add_callers(stack, load, service, live, calls=calls, video=video)
        yield load


async def add_callers(
    stack: AsyncExitStack, load: Load, service: Service, live: LiveServer, *, calls: int, video: bool = False
) -> None:
    """Connect further callers, some at a time; ``stack`` hangs them up."""

    async def one() -> None:
        caller = LightCaller()
        caller.camera = Camera() if video else None
        caller.line = await stack.enter_async_context(
            call_service(service, Mute(), caller.open, camera=caller.camera)
        )
        caller.session = await live.next_session()
        load.callers.append(caller)

    while calls > 0:
        group = min(calls, DIALLED_AT_ONCE)
        await asyncio.gather(*(one() for _ in range(group)))
        calls -= group
