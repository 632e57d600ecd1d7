"""Telephone keys between two real peers, both ways: payload type, clock, and what is on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpCodecCapability

from agent.clock import monotonic
from agent.media.inbound import open_inbound_audio
from agent.media.playout import Playout
from agent.media.rtp import RtpPacket
from agent.media.tap.audio import tap_audio
from agent.media.track import AgentVoiceTrack
from signaling.webrtc import sdp
from signaling.webrtc.offered import read_offer
from signaling.webrtc.peer import close_peer
from signaling.webrtc.wiring import wire_keys

CLOCKS_HZ = {101: 8_000, 110: 48_000}


def named(name: str) -> list[RTCRtpCodecCapability]:
    codecs = RTCRtpSender.getCapabilities("audio").codecs
    return [codec for codec in codecs if codec.mimeType.lower() == f"audio/{name}"]


def offering(description: str, rtpmaps: list[str]) -> str:
    """Return an offer that has keys as some telephone writes them."""
    payloads = " ".join(rtpmap.split()[0] for rtpmap in rtpmaps)
    lines = description.splitlines()
    edited = [f"{line} {payloads}" if line.startswith("m=audio") else line for line in lines]
    return "\r\n".join([*edited, *(f"a=rtpmap:{rtpmap}" for rtpmap in rtpmaps)]) + "\r\n"


@pytest.mark.parametrize(
    ("codec", "rtpmaps", "payload", "answered"),
    [
        ("opus", ["101 telephone-event/8000", "110 telephone-event/48000"], 110, {110: 48_000}),
        ("opus", ["110 telephone-event/48000", "101 telephone-event/8000"], 110, {110: 48_000}),
        ("opus", ["101 telephone-event/8000"], 101, {101: 8_000}),  # better than none
        ("PCMU", ["110 telephone-event/48000", "101 telephone-event/8000"], 101, {101: 8_000}),
        ("G722", ["110 telephone-event/48000", "101 telephone-event/8000"], 101, {101: 8_000}),
        ("PCMA", ["101  telephone-event / 8000 / 1 "], 101, {101: 8_000}),
    ],
)
async def test_keys_go_both_ways(codec: str, rtpmaps: list[str], payload: int, answered: dict[int, int]) -> None:
    phone, service = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    voices = [AgentVoiceTrack(Playout()) for _ in range(2)]
    pressed, came = list[str](), list[RtpPacket]()
    try:
        for voice in voices:
            voice.use_codec(codec)
        phone.addTransceiver(voices[0]).setCodecPreferences(named(codec.lower()))
        await phone.setLocalDescription(await phone.createOffer())
        offer = offering(phone.localDescription.sdp, rtpmaps)

        await service.setRemoteDescription(RTCSessionDescription(read_offer(offer).for_aiortc(), "offer"))
        service.addTrack(voices[1])
        wire(service, voices[1], offer)
        await service.setLocalDescription(await service.createAnswer())
        answer = service.localDescription.sdp
        audio = sdp.media_sections(answer)[0]
        assert sdp.key_clocks_hz(audio) == answered
        assert answer.count("telephone-event") == 1
        open_inbound_audio(
            service.getReceivers()[0],
            audio.payloads(),
            hear=lambda _pcm: None,
            press=pressed.append,
            clock=monotonic,
        )

        await phone.setRemoteDescription(service.localDescription)
        wire(phone, voices[0], answer)
        assert tap_audio(phone.getReceivers()[0], came.append)
        await until(lambda: len(came) > 5)
        for voice in voices:
            assert voice.send_keys("1*1")
        events = [payload] * 21
        await until(lambda: [packet.payload_type for packet in came if packet.payload_type == payload] == events)
        await until(lambda: len(pressed) >= 3)
    finally:
        await close_peer(phone)
        await close_peer(service)
    assert pressed == ["1", "*", "1"]
    sent = [packet for packet in came if packet.payload_type == payload]
    ticks = answered[payload] // 50
    assert [packet.payload[0] for packet in sent] == [1] * 7 + [10] * 7 + [1] * 7
    assert [packet.marker for packet in sent] == ([1] + [0] * 6) * 3, "RFC 4733: on the first packet of a key"
    assert [int.from_bytes(packet.payload[2:], "big") for packet in sent] == [
        size * ticks for size in (1, 2, 3, 4, 5, 5, 5)
    ] * 3
    assert len({packet.timestamp for packet in sent}) == 3
    steps = {(later.sequence_number - packet.sequence_number) & 0xFFFF for packet, later in pairwise(came)}
    assert steps == {1}, "they stand in the sequence of the audio"


def wire(pc: RTCPeerConnection, voice: AgentVoiceTrack, description: str) -> None:
    leg: Any = SimpleNamespace(pc=pc, call=SimpleNamespace(voice=voice))
    wire_keys(leg, read_offer(description))


async def until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not found():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)
