"""Callers by the thousand, most of whom hang up at once, and what the service holds after each crowd of them."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from signaling.client.caller import call_service
from signaling.webrtc.peer import close_peer
from tests.bench.service import Service

CODECS = ("opus", "PCMU", "PCMA", "G722")
POSTCARD_S = 0.2
TALK_S = 0.3  # of the agent's speech that a caller hears
OFFERS_AT_ONCE, CALLS_AT_ONCE = 8, 4
SETTLE_TIMEOUT_S = 30.0
QUIET_S = 2.5  # after the last call; by then the service has tidied up
CLOSE = {"Connection": "close"}  # one that waits for the next request is a descriptor, and a task
SDP = {"Content-Type": "application/sdp", **CLOSE}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the service's process holds while there is no call.

    Attributes:
        ended: calls until then.
        memory_mib: resident.
        threads: of the process.
        files: open descriptors.
        tasks: of its event loop.
    """

    ended: int
    memory_mib: float
    threads: int
    files: int
    tasks: int


async def read(service: Service) -> Reading:
    """Wait until no call is left, and see what is.

    Raises:
        TimeoutError: calls are left.
    """
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while (await service.metrics())["talkspurt_calls"]:  # noqa: ASYNC110  it is in another process
            await asyncio.sleep(0.1)
    await asyncio.sleep(QUIET_S)
    metrics = await service.metrics()
    process = Path("/proc") / str(service.pid)
    return Reading(
        ended=int(sum(value for name, value in metrics.items() if name.startswith("talkspurt_calls_ended_total"))),
        memory_mib=int((process / "statm").read_text().split()[1]) * resource.getpagesize() / 2**20,
        threads=len(list((process / "task").iterdir())),
        files=len(list((process / "fd").iterdir())),
        tasks=int(metrics["talkspurt_tasks"]),
    )


class Crowd:
    """Calls a service over and over; what the callers do goes round.

    Args:
        service: running.
        offers: of `offers`.
    """

    def __init__(self, service: Service, offers: list[str]) -> None:
        self.late = 0
        "Calls that gave up, because a busy machine took too long; they have to leave as little behind."
        self._service = service
        self._offers = cycle(offers)
        self._codecs = cycle(CODECS)
        self._ways = cycle((_hear_and_hang_up, _hear_and_vanish, _show_and_hang_up, _hear_and_hang_up, _hang_up))

    async def come(self, *, offers: int, calls: int) -> None:
        """Have so many offers taken back at once, and beside them so many calls that are up."""
        giving_up = (self._offer_and_delete(next(self._offers)) for _ in range(offers))
        talking = (next(self._ways)(self._service.url, next(self._codecs)) for _ in range(calls))
        async with asyncio.TaskGroup() as group:
            for _ in range(OFFERS_AT_ONCE):
                group.create_task(self._one_by_one(giving_up))
            for _ in range(CALLS_AT_ONCE):
                group.create_task(self._one_by_one(talking))

    async def _one_by_one(self, work: Iterator[Awaitable[Any]]) -> None:
        for each in work:
            try:
                await each
            except TimeoutError:
                self.late += 1

    async def _offer_and_delete(self, offer: str) -> None:
        http, url = self._service.http, self._service.url
        async with http.post(f"{url}whip", data=offer, headers=SDP) as response:
            body = await response.text()
            if response.status == 400:  # one that is meant to be refused
                return
            assert response.status == 201, body
        location = response.headers["Location"].removeprefix("/")
        async with http.delete(f"{url}{location}", headers=CLOSE) as response:
            assert response.status == 200


class Postcard(MediaStreamTrack):
    """A camera that shows one picture: the same key frame, five times a second."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0

    async def recv(self) -> av.Packet[Any]:
        """Return the next frame when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(POSTCARD_S)
        packet: av.Packet[Any] = av.Packet(_key_frame())
        packet.pts = round(self._sent * POSTCARD_S * 90_000)
        packet.time_base = Fraction(1, 90_000)
        self._sent += 1
        return packet


@cache
def _key_frame() -> bytes:
    codec = av.CodecContext.create("libvpx", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 160, 120, "yuv420p", Fraction(1, 5)
    frame = av.VideoFrame(160, 120, "yuv420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


async def offers() -> list[str]:
    """Return offers as clients make them: sound, with a data channel, with a camera; and one that is refused."""
    made = []
    for channel, camera in ((False, False), (True, False), (True, True)):
        pc = RTCPeerConnection()
        pc.addTransceiver("audio")
        if channel:
            pc.createDataChannel("chat")
        if camera:
            pc.addTransceiver("video", direction="sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        made.append(pc.localDescription.sdp)
        await close_peer(pc)
    return [*made, made[0].replace("a=fingerprint:", "a=no-fingerprint:")]


async def _hear_and_hang_up(url: str, codec: str) -> None:
    async with call_service(url, codec=codec) as caller:
        await caller.message("bot-ready")
        caller.type("what is the weather in Rome")
        await caller.message("bot-started-speaking", timeout_s=20)
        await asyncio.sleep(TALK_S)


async def _hear_and_vanish(url: str, codec: str) -> None:
    """In the middle of the agent's speech, without a DELETE."""
    async with call_service(url, codec=codec, hang_up=False) as caller:
        await caller.message("bot-ready")
        caller.type("tell me a long story")
        await caller.message("bot-started-speaking", timeout_s=20)


async def _show_and_hang_up(url: str, codec: str) -> None:
    """With a camera."""
    async with call_service(url, codec=codec, videos=[Postcard()]) as caller:
        await caller.message("bot-ready")
        await caller.message("server-message", lambda data: data["type"] == "picture-sent", timeout_s=20)


async def _hang_up(url: str, codec: str) -> None:
    """As soon as the connection is there."""
    async with call_service(url, codec=codec):
        pass
