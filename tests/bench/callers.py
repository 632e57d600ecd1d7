"""Callers that time what they say and what they hear, to the packet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from agent.media.encode import voice_encoder
from agent.media.inbound import PacketInlet
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ
from agent.media.rtp import RtpPacket
from tests.bench.line import TakePacket, call_service, drop_packets
from tests.bench.live_server import LiveServer, Session
from tests.bench.markers import BURST_S, HEARD_HZ, Detector, marker_tone, noise
from tests.bench.service import Service

FRAME_S = 0.02
BURST_FRAMES = round(BURST_S / FRAME_S)
LATEST_S = 0.6  # a marker that takes longer has not come through; markers are further apart than that
RECOGNISED_SHARE = 0.5  # of a marker's tone must come through for it to count


class Microphone(MediaStreamTrack):
    """A quiet room with a marker about once a second; encoded here, so that nothing waits behind the track.

    Args:
        rng: decides when the markers come and how the 20 ms grid lies.
        seed: of the noise.
    """

    kind = "audio"

    def __init__(self, rng: random.Random, seed: int) -> None:
        super().__init__()
        self.handed_at: list[float] = []
        "When each packet was handed to aiortc, monotonic seconds."
        self.dropped: set[int] = set()
        "Packets that the network lost."
        self.markers: list[int] = []
        "The packet with which each marker begins."
        self._rng = rng
        self._encode = voice_encoder("opus").encode
        self._noise = noise(VOICE_RATE_HZ, 1.0, seed)
        self._tone = marker_tone(VOICE_RATE_HZ, BURST_S)
        self._next_marker: int | None = None
        self._due = 0.0

    def begin_markers(self) -> None:
        """Let the first marker come in a moment."""
        self._next_marker = len(self.handed_at) + self._rng.randrange(5, 20)

    def end_markers(self) -> None:
        """Send no further marker."""
        self._next_marker = None

    async def recv(self) -> av.Packet[Any]:
        """Return the next 20 ms when they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        index = len(self.handed_at)
        packet: av.Packet[Any] = av.Packet(self._encode(self._frame(index)))
        packet.pts = index * 960
        packet.time_base = Fraction(1, 48_000)
        self._due = self._due + FRAME_S if index else monotonic() + self._rng.uniform(0, FRAME_S)
        await asyncio.sleep(max(0.0, self._due - monotonic()))
        self.handed_at.append(monotonic())
        return packet

    def _frame(self, index: int) -> np.ndarray[Any, np.dtype[np.int16]]:
        if index == self._next_marker:
            self.markers.append(index)
            self._next_marker += self._rng.randrange(40, 61)  # 0.8 to 1.2 s
        since = index - self.markers[-1] if self.markers else BURST_FRAMES
        source, at = (self._tone, since) if since < BURST_FRAMES else (self._noise, index % 50)
        return source[at * FRAME_SAMPLES : (at + 1) * FRAME_SAMPLES]


class Ear:
    """Hear the agent packet by packet."""

    def __init__(self) -> None:
        self.voice = Detector()

    def open(self, payloads: Mapping[int, str]) -> TakePacket:
        """Return what takes the packets of a stream with these payload types."""
        inlet = PacketInlet(payloads)

        def take(packet: RtpPacket) -> None:
            now = monotonic()
            for pcm in inlet.push(packet, now):
                self.voice.feed(pcm, now)

        return take


@dataclass(frozen=True, slots=True)
class UplinkFigures:
    """What became of one caller's markers.

    Attributes:
        delays_s: for each marker that came through, arrival of the message with its onset less hand-over of its
            packet; of the first packet of it that the network did not lose.
        recognised: markers that came through.
        markers: markers that were sent.
        delivered_samples: audio at the Live server between two far markers, at 16 kHz.
        sent_samples: audio that the caller sent between them.
    """

    delays_s: list[float]
    recognised: int
    markers: int
    delivered_samples: int
    sent_samples: int


class Caller:
    """A call, with both ends in hand."""

    def __init__(self, microphone: Microphone, ear: Ear, session: Session) -> None:
        self.microphone = microphone
        self.ear = ear
        self.session = session

    def uplink(self) -> UplinkFigures:
        """Match what arrived with what was sent, by time: markers are further apart than any delay looked for."""
        mic, voice = self.microphone, self.session.voice
        delays: list[float] = []
        anchors: list[tuple[int, int]] = []  # (packet, sample at the server) of markers whose onset was not lost
        recognised = 0
        for marker in mic.markers:
            carried = next((i for i in range(marker, marker + BURST_FRAMES) if i not in mic.dropped), marker)
            sent_at = mic.handed_at[carried]
            for onset, length in zip(voice.onsets, voice.tone_samples, strict=True):
                if sent_at <= onset.at < sent_at + LATEST_S:
                    delays.append(onset.at - sent_at)
                    recognised += length >= RECOGNISED_SHARE * BURST_S * HEARD_HZ
                    if carried == marker:
                        anchors.append((marker, onset.sample))
                    break
        if len(anchors) < 2:
            return UplinkFigures(delays, recognised, len(mic.markers), 0, 0)
        (first, first_sample), (last, last_sample) = anchors[0], anchors[-1]
        sent = round((last - first) * FRAME_S * HEARD_HZ)
        return UplinkFigures(delays, recognised, len(mic.markers), last_sample - first_sample, sent)


@asynccontextmanager
async def calling(
    service: Service, live: LiveServer, *, calls: int, loss: float, seed: int
) -> AsyncIterator[list[Caller]]:
    """Hold so many calls; each is dialled when the one before is set up, so that both its ends are known."""
    async with AsyncExitStack() as stack:
        callers = []
        for index in range(calls):
            microphone = Microphone(random.Random(f"{seed}-markers-{index}"), seed + index)
            ear = Ear()

            def lose(transport: Any, microphone: Microphone = microphone, index: int = index) -> None:
                if loss:
                    drop_packets(transport, loss, f"{seed}-loss-{index}", microphone.dropped.add)

            await stack.enter_async_context(call_service(service, microphone, ear.open, prepare=lose))
            callers.append(Caller(microphone, ear, await live.next_session()))
        yield callers
