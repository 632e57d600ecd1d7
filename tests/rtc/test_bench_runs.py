"""The bench measures: every figure comes out, and all of a caller's time arrives."""

from __future__ import annotations

import math
import os
from statistics import median

import pytest

from tests.bench import garbage, greeting, report
from tests.bench.phases import Bench, Figures, measure_cpu, measure_delays


def bench(service: str) -> Bench:
    return Bench(service, core=min(os.sched_getaffinity(0)), seed=1, seconds=3.0)


def assert_complete(figures: Figures) -> None:
    assert not [key for key, value in figures.items() if math.isnan(value)]
    assert figures["markers_share"] > 0.5
    assert figures["uplink_p50_ms"] > 0
    assert figures["downlink_p50_ms"] > 0


async def test_all_of_the_callers_time_arrives_at_5_percent_loss() -> None:
    figures = await measure_delays(bench("talkspurt"), calls=1, loss=0.05)
    assert_complete(figures)
    assert figures["lost_packets"] > 0
    assert figures["time_share"] >= 0.99


async def test_the_baseline_is_measured_in_the_same_way() -> None:
    assert_complete(await measure_delays(bench("plain"), calls=1, loss=0.0))


async def test_the_cost_of_a_call_is_measured() -> None:
    figures = await measure_cpu(bench("talkspurt"), calls=2)
    assert 0 < figures["cpu_per_call_pct"] < 100


async def test_the_service_leaves_most_objects_out_of_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "TALK_S", 0.5)
    own, pythons = [await garbage.measure(how, calls=1, collections=1) for how in ("service", "python")]
    assert median(own.forced_ms) < median(pythons.forced_ms) / 3
    assert not own.unasked_ms


async def test_the_wait_for_a_greeting_is_divided_into_its_parts() -> None:
    for parts in await greeting.measure(2):
        whole = parts.pop("whole")
        assert whole == pytest.approx(sum(parts.values()))
        assert min(parts["answer"], parts["ice"], parts["dtls"]) > 0


def test_a_table_of_it_can_be_made() -> None:
    rows = report.rows([0.0, 0.01], capacity=75)
    results = {"talkspurt": {"uplink_p50_ms": 2.0}, "plain": {"uplink_p50_ms": 80.0}}
    assert report.table(rows, results).row_count == 1
    assert rows[0].met(2.0)
    assert not rows[0].met(80.0)
    assert rows[0].advantage(2.0, 80.0) == 40.0
    assert math.isnan(rows[0].advantage(2.0, math.nan))
