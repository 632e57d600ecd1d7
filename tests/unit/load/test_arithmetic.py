"""Percentiles, arrivals, mixes, words, and the service's metrics."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.load.arrivals import STEPS, Arrivals, arrivals, mixed
from signaling.load.distribution import distribute
from signaling.load.processes import shares
from signaling.load.server import lag_percentile_ms, read_metrics
from signaling.load.wheel import Lateness
from signaling.load.words import missing_words, transcript


def test_percentiles_are_nearest_rank() -> None:
    spread = distribute([float(value) for value in range(1, 101)])
    assert spread.at == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}
    assert distribute([float(value) for value in range(1, 101)], higher_is_better=True).at["p95"] == 6


def test_what_is_missing_is_worse_than_everything() -> None:
    spread = distribute([1.0, 2.0, None, 3.0])
    assert (spread.count, spread.missing) == (4, 1)
    assert spread.at == {"p50": 2.0, "p90": None, "p95": None, "p99": None, "max": None}
    assert distribute([4.4, None], higher_is_better=True).at["max"] is None
    assert distribute([]).at["p50"] is None


@given(st.sampled_from(Arrivals), st.integers(1, 200), st.floats(0, 100), st.integers())
def test_everybody_arrives_within_the_time_and_in_order(
    process: Arrivals, calls: int, over_s: float, seed: int
) -> None:
    times = arrivals(process, calls, over_s, random.Random(seed))
    assert len(times) == calls
    assert times == sorted(times)
    assert all(0 <= at <= over_s for at in times)


def test_how_the_processes_differ() -> None:
    rng = random.Random(1)
    assert arrivals(Arrivals.CONSTANT, 4, 8, rng) == [0, 2, 4, 6]
    assert len(set(arrivals(Arrivals.STEP, 40, 8, rng))) == STEPS
    spike = arrivals(Arrivals.SPIKE, 40, 8, rng)
    assert spike.count(4.0) >= 20
    poisson = arrivals(Arrivals.POISSON, 4000, 4000, rng)
    gaps = [after - before for before, after in pairwise(poisson)]
    short = sum(gap < 1 for gap in gaps) / len(gaps)
    assert short == pytest.approx(0.632, abs=0.05)  # 1 - 1/e: the gaps are exponential


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=5), st.integers(1, 300), st.integers())
def test_a_mix_is_as_the_weights_say(weights: list[float], calls: int, seed: int) -> None:
    order = mixed(weights, calls, random.Random(seed))
    assert len(order) == calls
    for index, weight in enumerate(weights):
        assert abs(order.count(index) - calls * weight / sum(weights)) < 1


@given(st.integers(1, 100), st.integers(1, 16))
def test_processes_share_the_callers(calls: int, processes: int) -> None:
    found = shares(calls, processes)
    assert sum(found) == calls
    assert max(found) - min(found) <= 1


def test_lateness_is_a_histogram_that_adds_up() -> None:
    one, other = Lateness(), Lateness()
    one.note(0.001, 98)
    other.note(0.03, 1)
    other.note(5.0, 1)
    other.note(-0.001, 0)
    one.add(other)
    assert one.total == 100
    assert one.percentile_ms(0.5) == pytest.approx(1.5)
    assert one.percentile_ms(0.99) == pytest.approx(30.5)
    assert one.percentile_ms(1.0) > 1000
    assert Lateness().percentile_ms(0.99) == 0


@pytest.mark.parametrize(
    ("said", "transcribed", "missing"),
    [
        ("What time is it?", "what time is it", []),
        ("what time is it", "what is it", ["time"]),
        ("please stop", "", ["please", "stop"]),
        ("one two three", "three one two", ["three"]),
        ("I don't know", "i know", ["don't"]),
    ],
)
def test_missing_words(said: str, transcribed: str, missing: list[str]) -> None:
    assert missing_words(said, transcribed) == missing


def test_of_a_transcript_the_newest_revisions_count() -> None:
    def said(text: str, turn: str, **more: bool) -> dict[str, object]:
        return {"type": "user-transcription", "data": {"text": text, "turn_id": turn, **more}}

    messages = [said("what", "1"), said("what time", "1"), said("stop", "2"), said("typed", "3", typed=True)]
    assert transcript(messages) == "what time stop"


METRICS = """\
# TYPE process_cpu_seconds counter
process_cpu_seconds_total 12.5
# TYPE talkspurt_calls gauge
talkspurt_calls 3.0
# TYPE talkspurt_offers_refused counter
talkspurt_offers_refused_total{reason="full"} 2.0
talkspurt_offers_refused_total{reason="draining"} 1.0
# TYPE talkspurt_loop_lag_seconds histogram
talkspurt_loop_lag_seconds_bucket{le="0.001"} 90.0
talkspurt_loop_lag_seconds_bucket{le="0.01"} 99.0
talkspurt_loop_lag_seconds_bucket{le="+Inf"} 100.0
talkspurt_loop_lag_seconds_count 100.0
talkspurt_loop_lag_seconds_sum 1.0
"""


def test_the_services_metrics_are_read() -> None:
    scrape = read_metrics(METRICS, 5.0)
    assert scrape.values == {"cpu_s": 12.5, "calls": 3.0, "refused": 3.0}
    assert lag_percentile_ms({}, scrape.lag, 0.5) == pytest.approx(1.0)
    assert lag_percentile_ms({}, scrape.lag, 0.95) == pytest.approx(10.0)
    assert lag_percentile_ms({}, scrape.lag, 1.0) is None  # beyond the last bucket
    assert lag_percentile_ms(scrape.lag, scrape.lag, 0.5) is None
