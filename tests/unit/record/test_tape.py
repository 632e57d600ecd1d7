"""A tape holds both sides in their places, whatever the network and the sender's clock do."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.record.opus import RATE_HZ
from agent.record.tape import IDLE_S, NEAR_TICKS, SIDES, Packet, Piece, Side, Tape

FRAME_S = 0.02
NEAR_S = NEAR_TICKS / RATE_HZ
FIRST_AT = 1000.0


def caller(sent_s: float, delay_s: float, number: int, *, first: int = 0) -> Packet:
    """Return a packet that was sent at a time and came later; its payload is that time."""
    timestamp = (first + number * 960) & 0xFFFFFFFF
    return Packet("caller", "opus", round(FIRST_AT + sent_s + delay_s, 6), timestamp, 960, repr(sent_s).encode())


def agent(number: int, *, begins_s: float = 0.0) -> Packet:
    return Packet("agent", "opus", FIRST_AT + begins_s + number * FRAME_S, number * 960, 960, b"agent")


def record(packets: Sequence[Packet], tape: Tape | None = None) -> list[Piece]:
    """Put packets in order of arrival, with a poll every quarter of a second, and finish."""
    tape = tape or Tape()
    pieces, polled_at = list[Piece](), FIRST_AT
    for packet in sorted(packets, key=lambda each: each.now):
        while packet.now - polled_at > 0.25:
            polled_at += 0.25
            pieces += tape.idle(polled_at)
        pieces += tape.put(packet)
    return pieces + tape.finish()


def of(side: Side, pieces: Sequence[Piece]) -> list[Piece]:
    return [piece for piece in pieces if piece.side == side]


def errors_s(pieces: Sequence[Piece]) -> Iterator[tuple[float, float]]:
    """Yield when each of the caller's packets was sent, and how far from there it is, but for a constant."""
    for piece in of("caller", pieces):
        if piece.payload:
            sent_s = float(piece.payload)
            yield sent_s, piece.start / RATE_HZ - sent_s


def test_each_side_is_an_unbroken_row() -> None:
    pieces = record([agent(n) for n in range(500)] + [caller(n * FRAME_S, 0.05, n) for n in range(0, 500, 7)])
    for side in SIDES:
        row = of(side, pieces)
        assert row[0].start == 0
        assert all(one.start + one.ticks == other.start for one, other in pairwise(row))
    assert len({sum(piece.ticks for piece in of(side, pieces)) for side in SIDES}) == 1


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    ppm=st.sampled_from([-200.0, -50.0, 0.0, 50.0, 200.0]),
    jitter_s=st.sampled_from([0.0, 0.005, 0.015]),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    dtx=st.booleans(),
    first=st.sampled_from([0, 2**32 - 48_000, 123456]),
)
def test_what_the_caller_says_is_where_it_was_said(
    seed: int, ppm: float, jitter_s: float, loss: float, dtx: bool, first: int
) -> None:
    """Drift, jitter, loss, DTX and wrapping timestamps: 10 ms and what the clocks hide (the delay itself)."""
    chance, packets, arrived = random.Random(seed), [agent(n) for n in range(1500)], 0.0
    for number in range(1500):
        if chance.random() < loss or (dtx and number % 200 > 100 and number % 20):
            continue
        sent_s = number * FRAME_S * (1 + ppm / 1e6)
        arrived = max(arrived, sent_s + 0.04 + (chance.expovariate(1 / jitter_s) if jitter_s else 0))
        packets.append(caller(sent_s, arrived - sent_s, number, first=first))
    found = list(errors_s(record(packets)))
    # The shortest delay is not known; the offset follows the drift half a minute late.
    tolerance_s = NEAR_S + 0.005 + abs(ppm) / 1e6 * 35 + 0.3 * jitter_s
    assert all(abs(error_s - 0.04) <= tolerance_s for _sent_s, error_s in found)
    assert len(found) >= (1 - loss) * 1500 * (0.5 if dtx else 1) * 0.9


def test_without_drift_every_packet_is_there() -> None:
    packets = [caller(n * FRAME_S, 0.03, n) for n in range(1000)]
    found = [float(piece.payload) for piece in of("caller", record(packets)) if piece.payload]
    assert found == [n * FRAME_S for n in range(1000)]


def test_a_stall_of_the_network_moves_nothing() -> None:
    """Three seconds in which nothing came, and then all of it at once."""
    packets = [agent(n) for n in range(1000)]
    for number in range(1000):
        sent_s = number * FRAME_S
        packets.append(caller(sent_s, max(0.04, 8.0 - sent_s) if 5.0 <= sent_s < 8.0 else 0.04, number))
    found = list(errors_s(record(packets)))
    assert len(found) == 1000
    assert max(abs(error_s - 0.04) for _sent_s, error_s in found) <= NEAR_S


def test_a_busy_sender_that_catches_up_slowly_moves_nothing() -> None:
    """Two seconds in which it sent nothing, and then three in which it sends a little faster than real time."""
    packets = [agent(n) for n in range(1500)]
    for number in range(1500):
        sent_s = number * FRAME_S
        packets.append(
            caller(sent_s, max(0.04, 0.04 + 2.0 - (sent_s - 5.0) * 0.4 if sent_s >= 5.0 else 0.0), number)
        )
    found = list(errors_s(record(packets)))
    assert len(found) == 1500
    assert max(abs(error_s - 0.04) for _sent_s, error_s in found) <= NEAR_S


def test_a_sender_whose_clock_stood_still_is_where_it_is_heard() -> None:
    """Eighteen seconds without a packet, and timestamps that go on as if there had been none."""
    packets = [agent(n) for n in range(2000)]
    for number in range(1000):
        sent_s = number * FRAME_S + (18.0 if number >= 250 else 0.0)
        packets.append(caller(sent_s, 0.04, number))
    found = list(errors_s(record(packets)))
    assert len(found) == 1000
    assert max(abs(error_s - 0.04) for _sent_s, error_s in found) <= NEAR_S


def test_a_queue_in_the_network_costs_no_sentence() -> None:
    """Half a second more delay for five seconds: at most a fifth of what follows is left out to catch up."""
    delays_s = [0.54 - 0.02 * max(0, n - 750) if 500 <= n <= 775 else 0.04 for n in range(1500)]
    packets = [caller(n * FRAME_S, delay_s, n) for n, delay_s in enumerate(delays_s)]
    tape = Tape()
    found = list(errors_s(record(packets, tape)))
    assert len(found) >= 1500 - 26
    assert max(abs(error_s) for sent_s, error_s in found if sent_s > 18) <= NEAR_S
    assert tape.left_out_s <= 0.52


def test_a_restarted_stream_begins_anew() -> None:
    tape, pieces = Tape(), list[Piece]()
    for number in range(200):
        pieces += tape.put(caller(number * FRAME_S, 0.04, number))
    pieces += tape.restart()
    for number in range(200, 400):
        pieces += tape.put(caller(number * FRAME_S, 0.04, number, first=3_000_000_000))
    pieces += tape.finish()
    found = list(errors_s(pieces))
    assert len(found) == 400
    assert max(abs(error_s) for _sent_s, error_s in found) <= NEAR_S


def test_the_side_that_begins_later_is_later() -> None:
    callers = [caller(n * FRAME_S, 0.0, n) for n in range(100)]
    pieces = record([agent(n, begins_s=0.5) for n in range(100)] + callers)
    first = next(piece for piece in of("agent", pieces) if piece.payload)
    assert first.start / RATE_HZ == pytest.approx(0.5, abs=NEAR_S)


def test_a_silent_side_is_filled_while_the_call_lasts() -> None:
    tape, pieces = Tape(), list[Piece]()
    for number in range(1000):
        pieces += tape.put(agent(number))
    pieces += tape.idle(FIRST_AT + 20.0)
    assert sum(piece.ticks for piece in of("caller", pieces)) / RATE_HZ == pytest.approx(20.0 - IDLE_S, abs=NEAR_S)
    assert tape.codecs == {"caller": "opus", "agent": "opus"}


def test_a_paused_packet_leaves_nothing_but_time() -> None:
    packets = [caller(n * FRAME_S, 0.0, n) for n in range(300)]
    packets = [packet._replace(payload=b"") if 100 <= n < 200 else packet for n, packet in enumerate(packets)]
    pieces = of("caller", record(packets))
    assert {piece.payload for piece in pieces if 2.0 <= piece.start / RATE_HZ < 4.0 - 0.001} == {b""}
    assert sum(piece.ticks for piece in pieces) == 300 * 960


@pytest.mark.parametrize("ticks", [120, 480, 1920, 2880])
def test_packets_of_any_length_are_taken(ticks: int) -> None:
    packets = [Packet("caller", "opus", FIRST_AT + n * ticks / 48_000, n * ticks, ticks, b"x") for n in range(400)]
    pieces = of("caller", record(packets))
    assert [piece.ticks for piece in pieces if piece.payload] == [ticks] * 400
    assert sum(piece.ticks for piece in pieces) == 400 * ticks


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 3), st.booleans()), min_size=1, max_size=60))
def test_no_timestamps_make_it_longer_than_the_call(given_packets: list[tuple[int, float, bool]]) -> None:
    """Whatever timestamps a stranger sends, the file grows with the time that passes."""
    tape, pieces, now = Tape(), list[Piece](), FIRST_AT
    for timestamp, after_s, restarts in given_packets:
        now += after_s
        if restarts:
            pieces += tape.restart()
        pieces += tape.put(Packet("caller", "opus", now, timestamp, 960, b"x"))
        pieces += tape.idle(now)
    pieces += tape.finish()
    most_s = now - FIRST_AT + 2.0 + len(given_packets) * FRAME_S
    assert sum(piece.ticks for piece in of("caller", pieces)) / RATE_HZ <= most_s
    assert math.isfinite(tape.length_s)
