"""A bad datagram costs only itself, whoever sent it: between two real peers, through every parser."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiortc.rtp import RtpPacket
from google_crc32c import value as crc32c
from pylibsrtp import Error as SrtpError

from agent.emulator import Emulator
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.media.tap.guard import MAX_SOURCES
from agent.media.tap.sctp import guard_channels
from signaling.client.caller import call_service
from tests.support.raw_peers import LOUD, NEW_SSRC, OPUS, send_as_anybody, talking
from tests.support.service import ServiceFactory

KNOWN_SSRC = 0x0A0B0C0D


def header(flags: int, ssrc: int, number: int) -> bytes:
    return struct.pack("!BBHII", flags, OPUS, number, number * 960, ssrc)


def extended(ssrc: int, number: int, profile: int, extension: bytes, payload: bytes = b"\xf8\xff\xfe") -> bytes:
    assert len(extension) % 4 == 0
    return header(0x90, ssrc, number) + struct.pack("!HH", profile, len(extension) // 4) + extension + payload


def rtcp(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def stun(attribute: int, value: bytes) -> bytes:
    return struct.pack("!HHI12sHH", 1, 4 + len(value), 0x2112A442, bytes(12), attribute, len(value)) + value


BY_ANYBODY = {
    "nothing": b"",
    "a byte": b"\x80",
    "RTP of over 1500 bytes": b"\x80\x60" + bytes(2000),
    "RTCP of over 1500 bytes": b"\x80\xc9" + bytes(2000),
    "DTLS that is none": b"\x16" + bytes(40),
    "STUN with a short priority": stun(0x24, bytes(4))[:-2] + b"",
    "STUN with a priority of eight bytes": stun(0x24, bytes(8)),
    "STUN with a name that is no text": stun(0x06, b"\xff\xfe\xfd\xfc"),
    "a response to nothing": b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
}
BY_THE_CALLER: dict[str, Callable[[int, int], bytes]] = {
    "a level of two bytes": lambda ssrc, number: extended(ssrc, number, 0xBEDE, b"\x21\x00\x00\x00"),
    "a level of no bytes": lambda ssrc, number: extended(ssrc, number, 0x1000, b"\x02\x00\x00\x00"),
    "a mid that is no text": lambda ssrc, number: extended(ssrc, number, 0xBEDE, b"\x11\xff\xfe\x00"),
    "an extension that is cut off": lambda ssrc, number: extended(ssrc, number, 0xBEDE, b"\x2f\x00\x00\x00"),
    "a bandwidth of no source": lambda _ssrc, _number: rtcp(206, 15, bytes(8) + b"REMB\xff\x00\x00\x00"),
    "a report that is cut off": lambda ssrc, _number: rtcp(201, 3, struct.pack("!II", 1, ssrc)),
    "no padding where there should be": lambda ssrc, number: header(0xA0, ssrc, number) + b"\x00",
    "padding alone": lambda ssrc, number: header(0xA0, ssrc, number) + b"\x00\x00\x00\x04",
    "no payload": lambda ssrc, number: header(0x80, ssrc, number),
}
WAYS = pytest.mark.parametrize("way", ["shortcut", "no shortcut", "untapped"])


@WAYS
async def test_what_anybody_can_send_ends_no_call(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tap_ice.dropped.copy()
    async with talking(monkeypatch, way) as pair:
        for name, data in BY_ANYBODY.items():
            pair.send_raw(data)
            await asyncio.sleep(0.01)
            assert pair.receiver.connectionState == "connected", name
        await pair.still_hears()
        assert pair.unreadable + (tap_ice.dropped - before).total() >= 2


async def test_a_whole_call_survives_them(service: ServiceFactory, emulator: Emulator) -> None:
    """The service guards its calls, counts what it drops, and still hears the caller."""
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        transport: Any = caller.pc.getSenders()[0].transport
        for data in BY_ANYBODY.values():
            send_as_anybody(transport, data)
        for number, make in enumerate(BY_THE_CALLER.values()):
            await transport._send_rtp(make(NEW_SSRC + number, number))
        samples = emulator.sessions[0].audio_samples_in
        caller.microphone.play(np.tile(LOUD, 100))
        await emulator.wait_for(lambda: emulator.sessions[0].audio_samples_in > samples + 8_000)
        assert caller.pc.connectionState == "connected"
        assert np.abs(emulator.sessions[0].audio[-4_000:]).max() > 4_000
        async with aiohttp.ClientSession() as http, http.get(url + "metrics") as response:
            lines = (await response.text()).splitlines()
        counters = ("talkspurt_inbound_unreadable_packets_total ", "talkspurt_datagrams_dropped_total{")
        counts = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(counters)]
        assert sum(counts) >= 5


@WAYS
async def test_what_the_caller_can_send_costs_itself(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes from a known stream, and as the first packet of a new one."""
    async with talking(monkeypatch, way) as pair:
        for number, (name, make) in enumerate(BY_THE_CALLER.items()):
            await pair.send_rtp(extended(KNOWN_SSRC, 2 * number, 0xBEDE, bytes(4)))
            for ssrc in (KNOWN_SSRC, NEW_SSRC + number):
                await pair.send_rtp(make(ssrc, 2 * number + 1))
                await asyncio.sleep(0.01)
                assert pair.receiver.connectionState == "connected", name
        await pair.still_hears()


@WAYS
async def test_sctp_that_is_none_costs_itself(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    async with talking(monkeypatch, way) as pair:
        for _ in range(100):
            await pair.send_sctp(rng.randbytes(rng.randint(1, 60)))
        await pair.still_hears()


@pytest.mark.parametrize("kind", [1, 2, 4, 6, 9, 130])
async def test_a_parameter_of_no_length_costs_itself(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service would read such a packet for ever, whether or not the channels were open."""
    async with talking(monkeypatch, "shortcut") as pair:
        guard_channels(pair.receiver, lambda _objection: None)
        sctp: Any = pair.receiver.sctp
        body = bytes(16 if kind in (1, 2) else 0) + struct.pack("!HH", 7, 0) + bytes(8)
        chunk = struct.pack("!BBH", kind, 0, 4 + len(body)) + body
        header = struct.pack("!HHL", 5000, 5000, 0 if kind == 1 else sctp._local_verification_tag)
        await pair.send_sctp(header + struct.pack("<L", crc32c(header + bytes(4) + chunk)) + chunk)
        await pair.still_hears()
        assert sctp.state == "connected"


BAD_OPENS = {
    "a label that is no text": struct.pack("!BBHLHH", 3, 0, 0, 0, 2, 0) + b"\xff\xfe",
    "a protocol that is no text": struct.pack("!BBHLHH", 3, 0, 0, 0, 1, 2) + b"x\xff\xfe",
    "lengths beyond the end": struct.pack("!BBHLHH", 3, 0, 0, 0, 0xFFFF, 0xFFFF) + b"x",
    "an open that is cut off": b"\x03\x00",
    "an acknowledgement of nothing": b"\x02",
    "an unknown message": b"\x63",
}


async def test_a_data_channel_that_cannot_be_opened_closes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking(monkeypatch, "shortcut") as pair:
        got: list[Any] = []

        def channel_came(channel: Any) -> None:
            channel.on("message", got.append)

        pair.receiver.on("datachannel", channel_came)
        channel = pair.sender.createDataChannel("late")
        await pair.until(lambda: channel.readyState == "open")
        sctp: Any = pair.sender.sctp
        for number, data in enumerate(BAD_OPENS.values()):
            await sctp._send(100 + 2 * number, 50, data)
            await sctp._send(channel.id, 50, data)  # where there is a channel already
        await sctp._send(channel.id, 51, b"\xff\xfe")  # text that is none
        await sctp._send(channel.id, 99, b"of no kind")
        channel.send("still here")
        await pair.until(lambda: "still here" in got)
        await pair.still_hears()


async def test_a_stream_whose_extensions_are_always_bad_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """No extension is needed to hear a caller."""
    async with talking(monkeypatch, "shortcut") as pair:
        came: list[int] = []
        receiver: Any = pair.receiver.getReceivers()[0]
        take = receiver._handle_rtp_packet

        async def note(packet: RtpPacket, **named: Any) -> None:
            came.append(packet.ssrc)
            assert packet.extensions.mid == "0", "what can be read is read"
            await take(packet, **named)

        receiver._handle_rtp_packet = note
        await pair.send_rtp(extended(NEW_SSRC, 1, 0xBEDE, b"\x10\x30\x21\x00\x00\x00\x00\x00"))
        await pair.until(lambda: NEW_SSRC in came)
        assert pair.unreadable == 0


@WAYS
@pytest.mark.parametrize("seed", range(3))
async def test_any_bytes_end_no_call(way: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bytes behind plausible headers, and good packets with a few bytes changed."""
    rng = random.Random(seed)
    makers: list[Callable[[int, int], bytes]] = [
        *BY_THE_CALLER.values(),
        lambda ssrc, number: extended(ssrc, number, rng.choice([0xBEDE, 0x1000]), rng.randbytes(12)),
        lambda _ssrc, _number: rtcp(
            rng.randint(200, 207), rng.randrange(32), rng.randbytes(4 * rng.randint(0, 12))
        ),
        lambda ssrc, _number: rtcp(206, 15, struct.pack("!II", ssrc, 0) + b"REMB" + rng.randbytes(8)),
    ]
    async with talking(monkeypatch, way) as pair:
        await pair.send_rtp(extended(KNOWN_SSRC, 0, 0xBEDE, bytes(4)))
        for number in range(1, 300):
            data = bytearray(rng.choice(makers)(rng.choice([KNOWN_SSRC, NEW_SSRC]), number))
            for _ in range(rng.randint(0, 3)):
                data[rng.randrange(1, len(data))] = rng.randrange(256)
            try:
                await pair.send_rtp(bytes(data))
            except SrtpError:
                pair.send_raw(bytes(data))  # libsrtp refuses to sign it
            pair.send_raw(rng.choice([stun(rng.randrange(48), rng.randbytes(4)), rng.randbytes(40)]))
        await pair.still_hears()


@pytest.mark.parametrize("sources", [1, 200])
async def test_a_report_that_would_not_fit_is_not_the_last(sources: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timestamps that leap make a jitter of more than 32 bits; a report has room for 31 sources."""
    async with talking(monkeypatch, "shortcut") as pair:
        receiver, reports = pair.receiver.getReceivers()[0], list[Any]()
        for ssrc in range(1, sources):
            await pair.send_rtp(extended(ssrc, 7, 0xBEDE, bytes(4)))
        handle = pair.sender.getSenders()[0]._handle_rtcp_packet

        async def note(packet: Any) -> None:
            reports.append(packet)
            await handle(packet)

        monkeypatch.setattr(pair.sender.getSenders()[0], "_handle_rtcp_packet", note)
        streams = getattr(receiver, tap._STREAMS)
        await pair.until(
            lambda: len(streams) == min(sources, MAX_SOURCES) and (sources == 1 or sources - 1 in streams)
        )
        for stream in streams.values():
            stream._jitter_q4 = 1 << 400
        await pair.until(lambda: len(reports) >= 2)
        assert all(len(packet.reports) == min(sources, 31) for packet in reports)
        assert max(report.jitter for report in reports[0].reports) == 0xFFFFFFFF
        async with asyncio.timeout(5):
            await pair.receiver.close()
