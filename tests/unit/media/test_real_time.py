"""A caller's audio is held to real time, whatever the packets say; no honest caller notices."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media.inbound import FrameInlet, PacketInlet
from agent.media.reorder import BURST_S, REAL_TIME, Missing, Packet, Released, Reorder, Restarted
from agent.media.rtp import RtpPacket
from agent.media.throttle import Throttle

FLOOD_S = 1.5
FLOOD_PER_S = 2000
MOST_S = FLOOD_S * REAL_TIME + BURST_S
PAYLOADS = {0: "pcmu", 8: "pcma", 9: "g722"}
ULAW_20_MS = b"\xff" * 160

Flood = Callable[[int], RtpPacket]


def rtp(number: int, timestamp: int, *, payload_type: int = 0, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(payload_type, 0, number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, ULAW_20_MS)


FLOODS: dict[str, Flood] = {
    "in order": lambda n: rtp(n, n * 160),
    "each 1.99 s ahead": lambda n: rtp(n, n * (160 + 15_920)),
    "each 0.2 s ahead": lambda n: rtp(n, n * 1760),
    "each of another codec": lambda n: rtp(n, n * 160, payload_type=(0, 8, 9)[n % 3]),
    "each of another sender": lambda n: rtp(n, n * 160, ssrc=n),
    "each from nowhere": lambda n: rtp(n, n * 100_000_000),
    "each in the same moment": lambda n: rtp(n, 0),
    "each a loss behind the last": lambda n: rtp(n * 4, n * 640),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_heard_in_real_time(flood: Flood) -> None:
    inlet, heard, next_poll = PacketInlet(PAYLOADS), 0, 0.1
    count = int(FLOOD_S * FLOOD_PER_S)
    for number in range(count):
        now = number / FLOOD_PER_S
        heard += sum(map(len, inlet.push(flood(number), now)))
        if now >= next_poll:
            heard += sum(map(len, inlet.poll(now)))
            next_poll += 0.1
    assert heard / 16_000 <= MOST_S
    assert inlet.reorder_stats.surplus > 0.8 * count


def test_pauses_and_bursts_in_turn_are_heard_in_real_time() -> None:
    """Silence is made up for in each pause, and nobody was silent."""
    inlet, heard, number = PacketInlet(PAYLOADS), 0, 0
    for step in range(600):
        heard += sum(map(len, inlet.poll(step * 0.1)))
        for _ in range(55 if step % 10 == 9 else 0):
            heard += sum(map(len, inlet.push(rtp(number, number * 160), step * 0.1)))
            number += 1
    assert heard / 16_000 <= 60 * REAL_TIME + BURST_S


def test_after_a_flood_the_caller_is_heard_again() -> None:
    inlet = PacketInlet(PAYLOADS)
    for number in range(3000):
        inlet.push(rtp(number, number * 160), number / FLOOD_PER_S)
    began = 3000 / FLOOD_PER_S
    heard = sum(sum(map(len, inlet.push(rtp(n, n * 160), began + (n - 2999) * 0.02))) for n in range(3000, 3500))
    assert heard / 16_000 == pytest.approx(10, abs=0.05)


@pytest.mark.parametrize("step", [160, 16_080], ids=["in order", "each 2 s ahead"])
def test_a_flood_of_decoded_frames_is_heard_in_real_time(step: int) -> None:
    inlet, heard = FrameInlet(), 0
    for number in range(1500):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, number * step
        heard += len(inlet.push(frame, number / 1000))
    assert heard / 16_000 <= MOST_S
    assert inlet.frame_stats.surplus > 1000


def test_decoded_frames_after_a_long_pause_are_heard_with_all_of_it() -> None:
    inlet, heard = FrameInlet(), 0
    for at_s in [*np.arange(0, 5, 0.02), *np.arange(25, 30, 0.02)]:
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, round(at_s * 8000)
        heard += len(inlet.push(frame, float(at_s)))
    assert heard / 16_000 == pytest.approx(30, abs=0.05)
    assert inlet.frame_stats.surplus == 0


def test_a_flood_of_key_frames_is_looked_at_once_a_period() -> None:
    throttle, taken = Throttle(1.0), 0
    for number in range(int(FLOOD_S * FLOOD_PER_S)):
        now = number / FLOOD_PER_S
        throttle.arrived(now)
        if throttle.wants(now):
            throttle.take(now)
            taken += 1
    assert taken <= FLOOD_S + 1


@dataclass(frozen=True)
class Caller:
    """An honest caller on a bad network.

    Attributes:
        ptime_ms: length of a packet.
        drift_ppm: how much faster the caller's clock runs than ours.
        jitter_s: of the network.
        stalls: how often a second the network stands still.
        stall_s: for how long at most; what was sent meanwhile comes at once.
        pauses: how often a second the sender pauses, for up to 3 s: speech only (DTX), or muted.
        loss: share of packets that never come.
    """

    ptime_ms: Literal[10, 20, 60] = 20
    drift_ppm: int = 0
    jitter_s: float = 0.0
    stalls: float = 0.0
    stall_s: float = 0.0
    pauses: float = 0.0
    loss: float = 0.0

    def arrivals(self, seconds: float, rng: random.Random) -> Iterator[tuple[float, Packet]]:
        """Yield when which packet comes, in order."""
        ticks, at, number, latest, still_until = 48 * self.ptime_ms, 0, 0, 0.0, 0.0
        while (sent_s := at / 48_000 / (1 + self.drift_ppm / 1e6)) < seconds:
            if rng.random() < self.stalls * self.ptime_ms / 1000 and sent_s >= still_until:
                still_until = sent_s + rng.uniform(0.2, self.stall_s)
            latest = max(
                latest, still_until if sent_s < still_until else 0.0, sent_s + rng.uniform(0, self.jitter_s)
            )
            if rng.random() >= self.loss:
                yield latest, Packet(1, number & 0xFFFF, at & 0xFFFFFFFF, str(number).encode(), ticks)
            at += ticks
            number += 1
            if rng.random() < self.pauses * self.ptime_ms / 1000:
                at += ticks * rng.randint(1, 3000 // self.ptime_ms)


CALLERS = st.builds(
    Caller,
    ptime_ms=st.sampled_from([10, 20, 60]),
    drift_ppm=st.integers(-500, 500),
    jitter_s=st.sampled_from([0.0, 0.03, 0.15]),
    stalls=st.sampled_from([0.0, 0.05, 0.3]),
    stall_s=st.floats(0.3, BURST_S - 0.15),  # jitter comes on top
    pauses=st.sampled_from([0.0, 0.1, 1.0]),
    loss=st.sampled_from([0.0, 0.05]),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(CALLERS, st.integers(0, 2**32))
def test_an_honest_caller_loses_nothing(caller: Caller, seed: int) -> None:
    """Every packet that comes is released, and all time; and yet it is bounded."""
    reorder, released, next_poll, seconds = Reorder(48_000), list[Released](), 0.1, 12.0
    arrivals = list(caller.arrivals(seconds, random.Random(seed)))
    for now, packet in arrivals:
        while next_poll < now:
            released += reorder.poll(next_poll)
            next_poll += 0.1
        released += reorder.push(packet, now)
    released += reorder.drain(arrivals[-1][0])
    assert reorder.stats.surplus == 0
    heard = [item.payload for item in released if isinstance(item, Packet)]
    assert heard == [packet.payload for _, packet in arrivals]
    total_s = sum(item.ticks for item in released if not isinstance(item, Restarted)) / 48_000
    sent = arrivals[-1][1]
    sent_s = (sent.timestamp + sent.ticks - arrivals[0][1].timestamp) / 48_000
    assert sent_s - caller.ptime_ms / 2000 <= total_s <= arrivals[-1][0] * REAL_TIME + BURST_S


@pytest.mark.parametrize("stall_s", [1.0, BURST_S - 0.05])
def test_what_the_network_held_back_is_heard_each_time(stall_s: float) -> None:
    """A minute on a network that stands still every three seconds: no packet is dropped in the last stall."""
    reorder, heard, next_poll = Reorder(48_000), 0, 0.1
    for number in range(3000):
        sent_s = number * 0.02
        now = max(sent_s, sent_s - sent_s % 3.0 + stall_s)
        while next_poll < now:
            reorder.poll(next_poll)
            next_poll += 0.1
        released = reorder.push(Packet(1, number, number * 960, b"", 960), now)
        heard += sum(isinstance(item, Packet) for item in released)
    assert heard == 3000


def test_the_silence_of_a_pause_is_heard_while_it_lasts() -> None:
    """A muted sender: the model must hear that the caller has stopped, at once and not when the sender goes on."""
    reorder, made_up = Reorder(48_000), 0
    for number in range(100):
        reorder.push(Packet(1, number, number * 960, b"", 960), number * 0.02)
    for step in range(100):
        made_up += sum(item.ticks for item in reorder.poll(2 + step * 0.1) if isinstance(item, Missing))
        assert made_up / 48_000 >= step * 0.1 - 0.2
