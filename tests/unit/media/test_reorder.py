"""Whatever the network does, released time equals RTP time, in order and once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media.reorder import (
    MAX_HELD,
    MAX_HOLD_S,
    MAX_LATE_IN_A_ROW,
    Missing,
    Packet,
    Released,
    Reorder,
    Restarted,
)

CLOCK_HZ, TICKS, FRAME_S = 48_000, 960, 0.02


def packet(number: int, *, sequence: int = 0, timestamp: int = 0, ssrc: int = 1, pause_ticks: int = 0) -> Packet:
    """Return the numbered packet of a stream that began at this sequence number and timestamp."""
    return Packet(
        ssrc,
        (sequence + number) & 0xFFFF,
        (timestamp + number * TICKS + pause_ticks) & 0xFFFFFFFF,
        str(number).encode(),
        TICKS,
    )


def ticks(released: list[Released]) -> int:
    return sum(item.ticks for item in released if not isinstance(item, Restarted))


def numbers(released: list[Released]) -> list[int]:
    return [int(item.payload) for item in released if isinstance(item, Packet)]


def play(
    arrivals: list[tuple[float, int]], *, sequence: int = 0, timestamp: int = 0
) -> tuple[list[Released], Reorder]:
    """Push packets at their times, polling ten times a second as a call does."""
    reorder = Reorder(CLOCK_HZ)
    released: list[Released] = []
    next_poll = 0.1
    for now, number in arrivals:
        while next_poll < now:
            released += reorder.poll(next_poll)
            next_poll += 0.1
        released += reorder.push(packet(number, sequence=sequence, timestamp=timestamp), now)
    return released, reorder


def test_a_clean_stream_is_released_at_once() -> None:
    reorder = Reorder(CLOCK_HZ)
    for number in range(100):
        assert reorder.push(packet(number), number * FRAME_S) == [packet(number)]


def test_one_lost_packet_waits_for_three_and_is_made_up() -> None:
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    assert reorder.push(packet(2), 0.04) == []
    assert reorder.push(packet(3), 0.06) == []
    released = reorder.push(packet(4), 0.08)
    assert released == [Missing(TICKS, lost=True, next_payload=b"2"), packet(2), packet(3), packet(4)]
    assert reorder.push(packet(5), 0.10) == [packet(5)]
    assert reorder.stats.lost == 1


def test_a_swapped_pair_is_put_right() -> None:
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    assert reorder.push(packet(2), 0.02) == []
    assert reorder.push(packet(1), 0.025) == [packet(1), packet(2)]
    assert reorder.stats.lost == 0
    assert reorder.stats.reordered == 1


def test_what_is_held_does_not_wait_for_ever() -> None:
    """A sender that pauses behind a gap."""
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    reorder.push(packet(2), 0.04)
    assert reorder.poll(0.1) == []
    assert numbers(reorder.poll(0.041 + MAX_HOLD_S)) == [2]


def test_duplicates_and_latecomers_are_dropped() -> None:
    reorder = Reorder(CLOCK_HZ)
    for number in (0, 1, 3, 4, 5):
        reorder.push(packet(number), number * FRAME_S)
    for number in (0, 1, 2, 3, 5):
        assert reorder.push(packet(number), 0.2) == []
    assert reorder.stats.late == 5


def test_a_pause_is_made_up_while_it_lasts_and_not_twice() -> None:
    """DTX, mute, hold: no packets, the timestamp goes on."""
    reorder = Reorder(CLOCK_HZ)
    released = list(reorder.push(packet(0), 0.0))
    for step in range(1, 31):
        released += reorder.poll(step * 0.1)
    assert ticks(released) == pytest.approx(3.0 * CLOCK_HZ, abs=TICKS)
    released += reorder.push(packet(1, pause_ticks=3 * CLOCK_HZ - TICKS), 3.0)
    assert ticks(released) == 3 * CLOCK_HZ + TICKS
    assert not any(isinstance(item, Missing) and item.lost for item in released)


def test_a_sender_that_stops_its_clock_in_a_pause_loses_nothing_later() -> None:
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    for step in range(1, 101):
        reorder.poll(step * 0.1)
    released: list[Released] = []
    for number in (1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18):  # every fourth one is lost
        released += reorder.push(packet(number), 10 + number * FRAME_S)
    assert ticks(released) >= 18 * TICKS - 0.1 * CLOCK_HZ


def test_a_new_ssrc_starts_anew() -> None:
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    new = packet(7, ssrc=2, sequence=5000, timestamp=123_456)
    assert reorder.push(new, 0.02) == [Restarted(), new]
    assert reorder.push(packet(8, ssrc=2, sequence=5000, timestamp=123_456), 0.04) != []


def test_a_sender_that_counts_again_from_lower_is_heard_again() -> None:
    """Same SSRC, sequence 500 lower: after a few latecomers it is a restart."""
    reorder = Reorder(CLOCK_HZ)
    for number in range(1000, 1010):
        reorder.push(packet(number), number * FRAME_S)
    released: list[Released] = []
    for number in range(500, 540):
        released += reorder.push(packet(number), (510 + number) * FRAME_S)
    assert len(numbers(released)) >= 40 - MAX_LATE_IN_A_ROW


def test_a_timestamp_from_nowhere_makes_up_no_hours() -> None:
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    released = reorder.push(Packet(1, 1, 3600 * CLOCK_HZ, b"1", TICKS), 0.02)
    assert ticks(released) == TICKS
    assert any(isinstance(item, Restarted) for item in released)


Network = Callable[[random.Random, int], list[tuple[float, int]]]


def losing(share: float) -> Network:
    return lambda rng, count: [
        (i * FRAME_S, i) for i in range(count) if i in (0, count - 1) or rng.random() > share
    ]


def bursts(rng: random.Random, count: int) -> list[tuple[float, int]]:
    gone = {b + k for b in rng.sample(range(10, count - 20), count // 60) for k in range(rng.randint(2, 8))}
    return [(i * FRAME_S, i) for i in range(count) if i not in gone]


def swapping(rng: random.Random, count: int) -> list[tuple[float, int]]:
    times = [(i * FRAME_S + (0.045 if rng.random() < 0.02 and 0 < i < count - 5 else 0), i) for i in range(count)]
    return sorted(times)


def doubling(rng: random.Random, count: int) -> list[tuple[float, int]]:
    return sorted((i * FRAME_S + k * 0.01, i) for i in range(count) for k in range(1 + (rng.random() < 0.1)))


@pytest.mark.parametrize(
    "network",
    [losing(0.0), losing(0.01), losing(0.03), losing(0.05), losing(0.2), bursts, swapping, doubling],
    ids=["clean", "1%", "3%", "5%", "20%", "bursts", "2% swapped", "10% doubled"],
)
@pytest.mark.parametrize(
    ("sequence", "timestamp"), [(0, 0), (65_000, 4_294_000_000)], ids=["from zero", "over both wraps"]
)
def test_no_time_is_missing(network: Network, sequence: int, timestamp: int) -> None:
    count = 1500  # 30 s
    arrivals = network(random.Random(7), count)
    released, reorder = play(arrivals, sequence=sequence, timestamp=timestamp)
    released += reorder.poll(arrivals[-1][0] + MAX_HOLD_S + 0.001)
    assert ticks(released) == count * TICKS
    got = numbers(released)
    assert got == sorted(set(got))
    assert set(got) | _missing(released, count) == set(range(count))


def _missing(released: list[Released], count: int) -> set[int]:
    """Return the numbers that are not released but made up for."""
    return set(range(count)) - set(numbers(released))


@pytest.mark.slow
def test_a_call_of_an_hour_keeps_time() -> None:
    """180,000 packets, both counters wrap, 1 % is lost."""
    rng = random.Random(3)
    reorder = Reorder(CLOCK_HZ)
    total, count = 0, 180_000
    for number in range(count):
        if number in (0, count - 1) or rng.random() > 0.01:
            total += ticks(reorder.push(packet(number, sequence=60_000, timestamp=4_200_000_000), number * FRAME_S))
    total += ticks(reorder.poll(count * FRAME_S + MAX_HOLD_S))
    assert total == count * TICKS


@dataclass(frozen=True)
class Sender:
    """A sender whose clock is not the best, behind a network that is not either.

    Attributes:
        clock_hz: the codec's RTP clock.
        ptime_ms: length of a packet.
        jitter: of its timestamps, either way, in packets.
        drift_ppm: how much faster its timestamps run than its samples.
        loss: share of packets that never arrive.
        late: share of packets that arrive 44 ms later.
        twice: share of packets that arrive twice.
        pauses: share of packets behind a pause of up to 3 s (DTX).
        wraps: both counters wrap within the first packets.
    """

    clock_hz: int = 48_000
    ptime_ms: int = 20
    jitter: float = 0.0
    drift_ppm: int = 0
    loss: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    pauses: float = 0.0
    wraps: bool = False

    def play(self, count: int, seed: int, *, polls: bool = True) -> tuple[int, int, Reorder]:
        """Return the RTP time of the stream, undistorted by jitter, and the time released, in ticks."""
        rng, ticks = random.Random(seed), self.clock_hz * self.ptime_ms // 1000
        sequence, origin = (65_530, 2**32 - 3 * ticks) if self.wraps else (0, 0)
        arrivals, at = [], 0
        for number in range(count):
            at += ticks * rng.randint(2, 3000 // self.ptime_ms) if rng.random() < self.pauses and number else 0
            stamp = origin + at + round(at * self.drift_ppm / 1e6) + round(rng.uniform(-1, 1) * self.jitter * ticks)
            packet = Packet(1, (sequence + number) & 0xFFFF, stamp & 0xFFFFFFFF, str(number).encode(), ticks)
            edge = number in (0, count - 1)
            arrives = (at + (0 if edge or rng.random() >= self.late else 0.044 * self.clock_hz)) / self.clock_hz
            if edge or rng.random() >= self.loss:
                arrivals += [(arrives, number, packet)] * (1 + (rng.random() < self.twice))
            at += ticks
        reorder, released, next_poll = Reorder(self.clock_hz), list[Released](), 0.1
        for now, _, packet in sorted(arrivals, key=lambda arrival: arrival[:2]):
            while polls and next_poll < now:
                released += reorder.poll(next_poll)
                next_poll += 0.1
            released += reorder.push(packet, now)
        released += reorder.drain(at / self.clock_hz)
        assert not any(isinstance(item, Restarted) for item in released)
        assert numbers(released) == sorted(set(numbers(released)))
        return (
            at + round(at * self.drift_ppm / 1e6),
            sum(item.ticks for item in released if not isinstance(item, Restarted)),
            reorder,
        )


CLOCKS, PTIMES = st.sampled_from([8_000, 48_000]), st.sampled_from([10, 20, 40, 60])
SHARES = st.sampled_from([0.0, 0.01, 0.05, 0.2])
SENDERS = st.builds(
    Sender,
    clock_hz=CLOCKS,
    ptime_ms=PTIMES,
    jitter=st.floats(0.0, 0.24),
    loss=SHARES,
    late=SHARES,
    twice=SHARES,
    wraps=st.booleans(),
)


@given(SENDERS, st.integers(0, 2**32))
def test_released_time_is_rtp_time_whatever_the_clock_and_the_network_do(sender: Sender, seed: int) -> None:
    """Jitter of the timestamps under half a packet is nothing, to the sample."""
    rtp_ticks, released, _ = sender.play(120, seed, polls=False)
    assert released == rtp_ticks


@given(SENDERS, st.integers(0, 2**32), st.floats(0.0, 0.05), st.sampled_from([0.0, 0.02]))
def test_more_jitter_and_pauses_cost_no_more_than_the_jitter(
    sender: Sender, seed: int, jitter_s: float, pauses: float
) -> None:
    """A gap that was filled in vain is deducted from the next: nothing adds up."""
    ptime_s = sender.ptime_ms / 1000
    rtp_ticks, released, _ = replace(sender, jitter=jitter_s / ptime_s, pauses=pauses).play(120, seed)
    late_s = 0.044 if sender.late else 0.0  # a pause that ends late is made up for in vain until the next
    assert abs(released - rtp_ticks) <= (2 * jitter_s + ptime_s / 2 + late_s) * sender.clock_hz


@given(SENDERS, st.integers(0, 2**32))
def test_pauses_are_as_long_as_the_timestamps_say(sender: Sender, seed: int) -> None:
    rtp_ticks, released, _ = replace(sender, jitter=0.0, late=0.0, pauses=0.05).play(120, seed)
    assert released == rtp_ticks


@pytest.mark.slow
@pytest.mark.parametrize("drift_ppm", [-300, -50, 50, 300])
@pytest.mark.parametrize("jitter", [0.0, 0.05])
def test_a_clock_that_drifts_is_followed(drift_ppm: int, jitter: float) -> None:
    """Two minutes; no more than half a packet is owed, no more than a tenth of a second is had in advance."""
    sender = Sender(drift_ppm=drift_ppm, jitter=jitter, loss=0.01)
    rtp_ticks, released, _ = sender.play(6_000, seed=1)
    assert -(0.5 + 2 * jitter) * TICKS <= released - rtp_ticks <= 0.1 * CLOCK_HZ
    assert released == pytest.approx(rtp_ticks, rel=0.001)


def test_a_millisecond_of_jitter_alone_makes_up_nothing() -> None:
    rng = random.Random(2)
    reorder = Reorder(CLOCK_HZ)
    for number in range(1000):
        jittered = packet(number, pause_ticks=rng.randint(-48, 48))
        assert reorder.push(jittered, number * FRAME_S) == [jittered]


def test_a_loss_is_as_long_as_what_is_lost_whatever_the_jitter() -> None:
    """A packet less or more than a few samples would break the sound on both sides of it."""
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    released: list[Released] = []
    for number, jitter in ((3, 40), (4, -40), (5, 13)):
        released += reorder.push(packet(number, pause_ticks=jitter), number * FRAME_S)
    assert [item.ticks for item in released if isinstance(item, Missing)] == [2 * TICKS]


def placeholder(number: int) -> Packet:
    return replace(packet(number), timestamp=77, payload=b"", ticks=0)


def test_what_is_no_audio_holds_its_place() -> None:
    """Keys, comfort noise, padding: nothing waits for them, none is lost, and they are no time."""
    reorder = Reorder(CLOCK_HZ)
    for number in range(0, 20, 2):
        heard = replace(packet(number), timestamp=number // 2 * TICKS)
        assert reorder.push(heard, number * FRAME_S / 2) == [heard]
        assert reorder.push(placeholder(number + 1), number * FRAME_S / 2) == []
    assert reorder.stats.lost == 0


def test_a_pause_goes_on_behind_comfort_noise() -> None:
    """A gateway that sends it every 20 ms: the model hears the silence while it lasts."""
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    released: list[Released] = []
    for number in range(1, 100):
        released += reorder.push(placeholder(number), number * FRAME_S)
        released += reorder.poll(number * FRAME_S)
    assert ticks(released) == pytest.approx(98 * TICKS, abs=TICKS)
    released += reorder.push(packet(100), 100 * FRAME_S)
    assert ticks(released) == 100 * TICKS


def test_a_loss_before_a_key_is_a_loss() -> None:
    reorder = Reorder(CLOCK_HZ)
    reorder.push(packet(0), 0.0)
    released: list[Released] = []
    for each in (placeholder(2), packet(3), packet(4)):
        released += reorder.push(each, 0.1)
    assert released[0] == Missing(2 * TICKS, lost=True, next_payload=b"3")


def test_keys_that_come_late_start_nothing_anew() -> None:
    reorder = Reorder(CLOCK_HZ)
    for number in range(50):
        reorder.push(packet(number), number * FRAME_S)
    for number in range(2 * MAX_LATE_IN_A_ROW):
        assert reorder.push(placeholder(number), 1.0) == []
    assert reorder.push(packet(50), 1.0) == [packet(50)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0.0, 0.05)), min_size=1, max_size=120),
)
def test_any_order_is_released_in_order_and_once(steps: list[tuple[int, float]]) -> None:
    reorder = Reorder(CLOCK_HZ)
    now = 0.0
    released: list[Released] = []
    for number, wait_s in steps:
        now += wait_s
        released += reorder.push(packet(number), now)
        released += reorder.poll(now)
        assert len(reorder._held) < MAX_HELD
    stretch: list[int] = []
    for item in released:
        if isinstance(item, Restarted):
            stretch = []
        elif isinstance(item, Packet):
            stretch.append(int(item.payload))
            assert stretch == sorted(set(stretch))
        else:
            assert item.ticks > 0


@given(st.lists(st.tuples(*[st.integers(0, 2**bits - 1) for bits in (2, 16, 32, 13)]), max_size=200))
def test_hostile_numbers_do_no_harm(raw: list[tuple[int, int, int, int]]) -> None:
    """A single packet leads two seconds ahead at most, and little is held; for many see test_real_time."""
    reorder = Reorder(CLOCK_HZ)
    for index, (ssrc, sequence, timestamp, length) in enumerate(raw):
        released = reorder.push(Packet(ssrc, sequence, timestamp, b"0", length), index * FRAME_S)
        missing = sum(item.ticks for item in released if isinstance(item, Missing))
        assert missing <= (2.0 + index * FRAME_S + 4 * 0.2) * CLOCK_HZ
        assert len(reorder._held) <= MAX_HELD
