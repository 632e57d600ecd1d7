"""A service whose delays, losses and refusals are chosen, and noted as they happen: a report must say the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from agent.clock import monotonic
from agent.media.encode import voice_encoder
from agent.media.level import SpeechLevel
from agent.media.opus import OpusDecoder
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ
from agent.media.rtp import RtpPacket
from agent.media.tap.audio import tap_audio
from agent.media.tap.packets import Send, rtp_sender
from signaling.load.light import Mute
from signaling.webrtc.peer import close_peer
from signaling.webrtc.sdp import media_sections

FRAME_S = 0.02
LATE_S = 0.06


def tone_packets(frames: int) -> list[bytes]:
    """Return packets of a tone whose every frame is audible."""
    encode = voice_encoder("opus").encode
    at = np.arange(frames * FRAME_SAMPLES) / VOICE_RATE_HZ
    tone = (12_000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    return [encode(tone[n * FRAME_SAMPLES : (n + 1) * FRAME_SAMPLES]) for n in range(frames)]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the service does.

    Attributes:
        media_s: from the offer to the first packet; above what it takes to connect.
        greeting_s: so long after the first packet the agent says something; None says nothing.
        response_s: from the last loud packet of the caller's to the answer; above the silence that ends a turn.
        reply_frames: length of an answer.
        stop_s: from the first loud packet of a caller who interrupts to the last of the answer's packets.
        lost: the first so many packets of each answer but the very first are not sent.
        late_s: how late the packets of an answer are that are late.
        late: how many of each answer are.
        refuse: every so-many-th offer is answered 503; 0 refuses none.
        most: so many calls at once; further ones are answered 503.
        silent: the agent does not answer.
        transcript: what is transcribed of each turn.
    """

    media_s: float = 0.3
    greeting_s: float | None = 0.2
    response_s: float = 0.6
    reply_frames: int = 20
    stop_s: float = 0.15
    lost: int = 0
    late: int = 0
    late_s: float = 0.15
    refuse: int = 0
    most: int = 1000
    silent: bool = False
    transcript: str = ""


@dataclass(slots=True)
class Happened:
    """What the service did, by its own clock; lists in order over all calls."""

    offers: int = 0
    refused: int = 0
    set_up_ms: list[float] = field(default_factory=list)
    greeting_ms: list[float] = field(default_factory=list)
    response_ms: list[float] = field(default_factory=list)
    stop_ms: list[float] = field(default_factory=list)
    lost: int = 0
    late: int = 0
    "Packets that were sent late by intent."
    behind: int = 0
    "Packets that were nearly late, because this machine was."
    deleted: int = 0


TONE = tone_packets(500)
SILENCE = voice_encoder("opus").silence
TURN_ENDS_S = 0.3


class _Call:
    """One call of the service."""

    def __init__(self, service: KnownService, offered_at: float) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._service = service
        self._offered_at = offered_at
        self._answered_at = 0.0
        self._decoder = OpusDecoder(VOICE_RATE_HZ)
        self._level = SpeechLevel()
        self._loud_at: float | None = None
        self._talking_since: float | None = None
        self._replies: list[float] = []
        self._left = 0
        self._cut_at: float | None = None
        self._replied = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._channel: RTCDataChannel | None = None
        self._up = asyncio.Event()
        self._turns = 0

    async def answer(self, sdp: str) -> str:
        pc = self.pc
        pc.on("datachannel", self._channel_came)
        pc.on("connectionstatechange", lambda: self._up.set() if pc.connectionState == "connected" else None)
        await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        transceiver = pc.getTransceivers()[0]
        transceiver.sender.replaceTrack(Mute())
        transceiver.direction = "sendrecv"
        await pc.setLocalDescription(await pc.createAnswer())
        assert tap_audio(transceiver.receiver, self._hear)
        answer: str = pc.localDescription.sdp
        payloads = next(part for part in media_sections(answer) if part.kind == "audio").payloads()
        opus = next(number for number, name in payloads.items() if name.lower() == "opus")
        self._tasks.append(asyncio.create_task(self._speak(transceiver.sender, opus)))
        self._answered_at = monotonic()
        return answer

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await close_peer(self.pc)

    def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps({"label": "rtvi-ai", "type": kind, "id": "1", "data": data}))

    def _channel_came(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", lambda _text: self.tell("bot-ready", {"version": "2.1.0", "about": {}}))

    def _hear(self, packet: RtpPacket) -> None:
        now = monotonic()
        if not self._level.push(self._decoder.decode(packet.payload)):
            return
        if self._talking_since is None:
            self._talking_since = now
            if self._left > 0:
                self._cut_at = now + self._service.behaviour.stop_s
        self._loud_at = now

    def _turn_is_over(self, now: float) -> None:
        """Decide about an answer once the caller has been silent long enough."""
        if self._talking_since is None or self._loud_at is None or now - self._loud_at < TURN_ENDS_S:
            return
        behaviour = self._service.behaviour
        self._talking_since = None
        self._turns += 1
        if behaviour.transcript:
            said = {"text": behaviour.transcript, "turn_id": f"t{self._turns}", "final": True}
            self.tell("user-transcription", said)
        if not behaviour.silent:
            self._replies.append(self._loud_at + behaviour.response_s)

    async def _speak(self, sender: Any, payload_type: int) -> None:
        """Send silence and answers, each answer from its own moment on; until the call ends."""
        await self._up.wait()
        service, behaviour = self._service, self._service.behaviour
        send = rtp_sender(sender)
        await asyncio.sleep(max(0.0, self._offered_at + behaviour.media_s - monotonic()))
        due = began = monotonic()
        greets_at = None if behaviour.greeting_s is None else began + behaviour.greeting_s
        sequence = 0
        service.happened.set_up_ms.append(1e3 * (began - self._offered_at))
        while True:
            await asyncio.sleep(max(0.0, due - monotonic()))
            now = monotonic()
            service.happened.behind += now - due > LATE_S - FRAME_S
            timestamp = round((due - began) * 48_000)
            self._turn_is_over(now)
            payload = SILENCE
            if self._left > 0:
                payload = self._next_of_answer(now)
            elif greets_at is not None and now >= greets_at - 0.001:
                greets_at = None
                service.happened.greeting_ms.append(1e3 * (now - self._answered_at))
                payload = TONE[0]
                self._left = 9
            elif self._replies and now >= self._replies[0] - 0.001:
                self._replies.pop(0)
                assert self._loud_at is not None
                service.happened.response_ms.append(1e3 * (now - self._loud_at))
                self._replied += 1
                self._left = behaviour.reply_frames - 1
                payload = TONE[0]
            self._send(send, payload_type, sequence, timestamp, payload)
            sequence += 1
            due += FRAME_S
            starts = [at for at in (greets_at, *self._replies[:1]) if at is not None and now < at < due]
            if starts and not self._left:
                due = starts[0]  # an answer begins when it should, not on the grid of the silence before it

    def _next_of_answer(self, now: float) -> bytes:
        self._left -= 1
        if self._cut_at is not None and now + FRAME_S > self._cut_at:
            assert self._talking_since is not None
            self._service.happened.stop_ms.append(1e3 * (now - self._talking_since))
            self._left, self._cut_at = 0, None
            return SILENCE
        return TONE[self._service.behaviour.reply_frames - self._left]

    def _send(self, send: Send, payload_type: int, sequence: int, timestamp: int, payload: bytes) -> None:
        behaviour, happened = self._service.behaviour, self._service.happened
        position = behaviour.reply_frames - self._left if self._replied and self._left else 0
        if 5 < position <= 5 + behaviour.lost:
            happened.lost += 1
        elif 12 < position <= 12 + behaviour.late:
            happened.late += 1
            loop = asyncio.get_running_loop()
            loop.call_later(behaviour.late_s, send, payload_type, sequence, timestamp, payload)
        else:
            send(payload_type, sequence, timestamp, payload)


class KnownService:
    """See `known_service`."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.happened = Happened()
        self.url = ""
        self._calls: dict[str, _Call] = {}

    async def offered(self, request: web.Request) -> web.Response:
        offered_at = monotonic()
        self.happened.offers += 1
        unwanted = self.behaviour.refuse and self.happened.offers % self.behaviour.refuse == 0
        if unwanted or len(self._calls) >= self.behaviour.most:
            self.happened.refused += 1
            return web.Response(status=503, headers={"Retry-After": "1"}, text="full")
        call = _Call(self, offered_at)
        name = str(self.happened.offers)
        self._calls[name] = call
        answer = await call.answer(await request.text())
        return web.Response(
            status=201, text=answer, content_type="application/sdp", headers={"Location": f"/calls/{name}"}
        )

    async def deleted(self, request: web.Request) -> web.Response:
        self.happened.deleted += 1
        await self._calls.pop(request.match_info["name"]).close()
        return web.Response()

    async def close(self) -> None:
        for call in self._calls.values():
            await call.close()


@asynccontextmanager
async def known_service(behaviour: Behaviour) -> AsyncIterator[KnownService]:
    """Run the service on a free port of loopback."""
    service = KnownService(behaviour)
    app = web.Application()
    app.router.add_post("/whip", service.offered)
    app.router.add_delete("/calls/{name}", service.deleted)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield service
    finally:
        await service.close()
        await runner.cleanup()


async def _serve() -> None:
    async with known_service(Behaviour(greeting_s=None)) as service:
        print(service.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
