"""Two real peers in one process, one of which sends what it likes to the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection

from agent.clock import monotonic
from agent.media.encode import voice_encoder
from agent.media.inbound import InboundAudio, open_inbound_audio
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.media.tap.guard import guard
from signaling.webrtc.peer import close_peer

FRAME_S = 0.005  # faster than real time
OPUS = 96
NEW_SSRC = 0x01020304
LOUD = (8000 * np.sin(np.arange(480) / 3)).astype(np.int16)


class Voice(MediaStreamTrack):
    """Sends a tone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._encoder = voice_encoder("opus")
        self._number = 0

    async def recv(self) -> av.Packet[Any]:
        await asyncio.sleep(FRAME_S)
        packet: av.Packet[Any] = av.Packet(self._encoder.encode(LOUD))
        packet.pts, packet.time_base = self._number * 960, Fraction(1, 48_000)
        self._number += 1
        return packet


class Pair:
    """A caller that can send whatever it wants, and the one who hears it."""

    def __init__(self, sender: RTCPeerConnection, receiver: RTCPeerConnection) -> None:
        self.sender, self.receiver = sender, receiver
        self.unreadable = self.heard = 0
        self.audio: InboundAudio | None = None
        self.transport: Any = sender.getSenders()[0].transport

    def drop(self) -> None:
        self.unreadable += 1

    def hear(self, pcm: np.ndarray[Any, Any]) -> None:
        self.heard += int(np.abs(pcm).max() > 4000)

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(8):
            while not found():  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(FRAME_S)

    async def still_hears(self) -> None:
        """Wait for half a second of the tone more than there was."""
        more = self.heard + 25
        await self.until(lambda: self.heard >= more)
        assert self.receiver.connectionState == "connected"

    def send_raw(self, data: bytes) -> None:
        """Send a datagram as anybody could who knows the port."""
        send_as_anybody(self.transport, data)

    async def send_rtp(self, data: bytes) -> None:
        """Send RTP or RTCP as the caller can."""
        await self.transport._send_rtp(data)

    async def send_sctp(self, data: bytes) -> None:
        await self.transport._send_data(data)


def send_as_anybody(transport: Any, data: bytes) -> None:
    """Send a datagram to where a transport sends, from a socket of its own."""
    [route] = transport.transport._connection._nominated.values()
    with socket.socket(
        socket.AF_INET6 if ":" in route.remote_addr[0] else socket.AF_INET, socket.SOCK_DGRAM
    ) as other:
        other.sendto(data, route.remote_addr)


@asynccontextmanager
async def talking(monkeypatch: pytest.MonkeyPatch, way: str) -> AsyncIterator[Pair]:
    """Connect a pair; packets come by ``way``: by the shortcut, with no shortcut, or untapped."""
    if way == "untapped":
        monkeypatch.setattr(tap, "AIORTC_SERIES", "another")
    if way == "no shortcut":
        monkeypatch.setattr(tap, "AIOICE_SERIES", "another")
    assert tap_ice.guard()
    sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    listening: asyncio.Task[None] | None = None
    try:
        sender.addTrack(Voice())
        sender.createDataChannel("chat")
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        pair = Pair(sender, receiver)
        pair.audio = open_inbound_audio(receiver.getReceivers()[0], {OPUS: "opus"}, hear=pair.hear, clock=monotonic)
        assert pair.audio.tapped == (way != "untapped")
        for transceiver in (*sender.getTransceivers(), *receiver.getTransceivers()):
            guard(transceiver.receiver, pair.drop)
        await sender.setRemoteDescription(receiver.localDescription)
        listening = asyncio.create_task(pair.audio.listen())
        await pair.still_hears()
        yield pair
    finally:
        if listening is not None:
            listening.cancel()
        await close_peer(sender)
        await close_peer(receiver)
