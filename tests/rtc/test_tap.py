"""The tap between two real peers: every packet arrives, and reports to the sender stay correct."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import aiortc.rtp
import av
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.stats import RTCRemoteInboundRtpStreamStats

from agent.media.encode import SILENCE, voice_encoder
from agent.media.rtp import RtpPacket
from agent.media.tap import audio as tap
from signaling.webrtc.peer import close_peer

FRAME_S = 0.005  # faster than real time: nothing here depends on it
PACKETS = 300
LOST = range(100, 130)


class Voice(MediaStreamTrack):
    """Sends `PACKETS` numbered packets, then nothing."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._payload = voice_encoder("opus").encode(SILENCE)
        self._number = 0

    async def recv(self) -> av.Packet[Any]:
        if self._number == PACKETS:
            await asyncio.Event().wait()
        await asyncio.sleep(FRAME_S)
        packet: av.Packet[Any] = av.Packet(self._payload)
        packet.pts, packet.time_base = self._number * 960, Fraction(1, 48_000)
        self._number += 1
        return packet


@asynccontextmanager
async def connected(take: tap.OnPacket) -> AsyncIterator[tuple[RTCPeerConnection, RTCPeerConnection]]:
    """Connect a sender, of whose packets some are lost on the way, to a tapped receiver."""
    sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    try:
        sender.addTrack(Voice())
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        assert tap.tap_audio(receiver.getReceivers()[0], take)
        lose(sender)
        await sender.setRemoteDescription(receiver.localDescription)
        yield sender, receiver
    finally:
        await close_peer(sender)
        await close_peer(receiver)


def lose(pc: RTCPeerConnection) -> None:
    """Lose what a bad network would: here the transport's own method stands for it."""
    transport = pc.getSenders()[0].transport
    send, numbers = transport._send_rtp, iter(range(1 << 30))

    async def lossy(data: bytes) -> None:
        if 192 <= data[1] <= 208 or next(numbers) not in LOST:
            await send(data)

    transport._send_rtp = lossy  # type: ignore[method-assign]


async def report(pc: RTCPeerConnection, packets_lost: int) -> RTCRemoteInboundRtpStreamStats:
    """Wait for a receiver report that knows of as many losses, and of the sender's report before it."""
    async with asyncio.timeout(10):
        while True:
            for stats in (await pc.getSenders()[0].getStats()).values():
                if (
                    isinstance(stats, RTCRemoteInboundRtpStreamStats)
                    and stats.packetsLost == packets_lost
                    and stats.roundTripTime is not None
                ):
                    return stats
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("shortcut", [True, False])
async def test_packets_come_and_are_accounted_for(shortcut: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shortcut:
        monkeypatch.setattr(tap, "AIOICE_SERIES", "another")
    the_long_way = 0
    parse = aiortc.rtp.RtpPacket.parse

    def counting(*args: Any) -> Any:
        nonlocal the_long_way
        the_long_way += 1
        return parse(*args)

    monkeypatch.setattr(aiortc.rtp.RtpPacket, "parse", counting)
    came, all_came = list[RtpPacket](), asyncio.Event()

    def take(packet: RtpPacket) -> None:
        came.append(packet)
        if len(came) == PACKETS - len(LOST):
            all_came.set()

    async with connected(take) as (sender, receiver):
        async with asyncio.timeout(20):
            await all_came.wait()
        first = came[0].sequence_number
        numbers = [(packet.sequence_number - first) & 0xFFFF for packet in came]
        assert numbers == [number for number in range(PACKETS) if number not in LOST]
        assert 0 <= (await report(sender, len(LOST))).roundTripTime < 1
        stats = await receiver.getReceivers()[0].getStats()
        [stream] = [each for each in stats.values() if each.type == "inbound-rtp"]
        [transport] = [each for each in stats.values() if each.type == "transport"]
        assert (stream.packetsReceived, stream.packetsLost) == (len(came), len(LOST))
        assert transport.packetsReceived >= len(came)
        assert transport.bytesReceived > 15 * len(came)
    assert the_long_way < 10 if shortcut else the_long_way == len(came)
