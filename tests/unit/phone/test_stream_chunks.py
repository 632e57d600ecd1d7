"""A carrier's chunks in time: missing, doubled, late, or numbered in an unknown way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.inbound import PacketInlet
from agent.media.rtp import RtpPacket
from signaling.phone.chunks import MAX_LEAD_S, Chunks
from signaling.phone.stream import PCMU_PAYLOAD

CHUNK_S, CHUNK_TICKS = 0.02, 160


def chunk(number: int, **changes: Any) -> dict[str, Any]:
    return {"chunk": str(number), "timestamp": str(20 * number), **changes}


def heard_s(arrivals: Iterable[tuple[float, dict[str, Any]]]) -> tuple[float, int]:
    """Return for how long is heard what arrives, as the stream hands it to the inlet, and how much was dropped."""
    chunks, inlet, packets, samples, dropped = Chunks(), PacketInlet({PCMU_PAYLOAD: "pcmu"}), 0, 0, 0
    for now, media in arrivals:
        begin = chunks.place(media, CHUNK_TICKS, now)
        if begin is None:
            dropped += 1
        else:
            packet = RtpPacket(PCMU_PAYLOAD, 0, packets & 0xFFFF, begin & 0xFFFFFFFF, 0, bytes(CHUNK_TICKS))
            samples += sum(map(len, inlet.push(packet, now)))
            packets += 1
    return samples / 16_000, dropped


def at_their_time(medias: Iterable[dict[str, Any]]) -> list[tuple[float, dict[str, Any]]]:
    return [(index * CHUNK_S, media) for index, media in enumerate(medias)]


def test_three_of_ten_missing_take_no_time_away() -> None:
    seconds, dropped = heard_s((n * CHUNK_S, chunk(n)) for n in range(200) if n % 10 not in (1, 4, 7))
    assert seconds == pytest.approx(4.00)
    assert dropped == 0


def test_what_comes_twice_or_late_is_dropped() -> None:
    arrivals = at_their_time(chunk(n) for n in range(100))
    arrivals += [(n * CHUNK_S + 0.001, chunk(n)) for n in range(0, 100, 7)]
    arrivals += [(n * CHUNK_S + 0.001, chunk(n - 2)) for n in range(20, 100, 9)]
    seconds, dropped = heard_s(sorted(arrivals, key=lambda arrival: arrival[0]))
    assert seconds == pytest.approx(2.00)
    assert dropped == len(range(0, 100, 7)) + len(range(20, 100, 9))


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": None},
        {"chunk": None},
        {"chunk": None, "timestamp": None},
        {"timestamp": "soon", "chunk": "-1"},
        {"timestamp": "9" * 5000},
        {"timestamp": "0"},
        {"chunk": "1"},
        {"timestamp": {}, "chunk": []},
    ],
)
def test_without_numbers_chunks_follow_each_other(changes: dict[str, Any]) -> None:
    seconds, dropped = heard_s(at_their_time(chunk(n, **changes) for n in range(100)))
    assert seconds == pytest.approx(2.00)
    assert dropped == 0


def test_numbers_that_stand_still_make_nobody_deaf() -> None:
    seconds, dropped = heard_s(at_their_time(chunk(1) for _ in range(100)))
    assert seconds == pytest.approx(2.00 - CHUNK_S * dropped)
    assert dropped < 10


@pytest.mark.parametrize("unit_per_ms", [8, 1000])
def test_timestamps_of_another_unit_make_up_no_hours(unit_per_ms: int) -> None:
    seconds, _ = heard_s(at_their_time(chunk(n, timestamp=str(20 * n * unit_per_ms)) for n in range(500)))
    assert 10.0 <= seconds <= 10.0 + MAX_LEAD_S + CHUNK_S


def test_a_pause_of_the_carrier_is_a_pause() -> None:
    began = 1_700_000_000_000  # some tell the time of day
    numbers = [*range(50), *range(100, 150)]
    seconds, _ = heard_s((n * CHUNK_S, chunk(n, timestamp=began + 20 * n)) for n in numbers)
    assert seconds == pytest.approx(3.00)


@given(st.lists(st.tuples(st.integers(-5, 2**40), st.integers(-5, 2**40), st.floats(0, 0.1)), max_size=100))
def test_time_never_leads_by_more_than_is_plausible(numbers: list[tuple[int, int, float]]) -> None:
    now, arrivals = 0.0, list[tuple[float, dict[str, Any]]]()
    for number, at_ms, wait_s in numbers:
        now += wait_s
        arrivals.append((now, {"chunk": number, "timestamp": at_ms}))
    seconds, _ = heard_s(arrivals)
    assert seconds <= now + MAX_LEAD_S + 0.1 + len(numbers) * CHUNK_S
