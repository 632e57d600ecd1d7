"""The search for the capacity, with services that hold what is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from signaling.load.capacity import RESOLUTION, Capacity, find_capacity


def search(
    holds: int, *, first: float, flaky: frozenset[float] = frozenset(), invalid_above: float = 1e9
) -> Capacity:
    tries: dict[float, int] = {}

    async def run(load: float) -> Mapping[str, Any]:
        tries[load] = tries.get(load, 0) + 1
        held = load <= holds and not (load in flaky and tries[load] == 1)
        rows = [{"name": "late_pct", "verdict": "pass" if held else "fail"}, {"name": "x", "verdict": "pass"}]
        verdict = "invalid" if load > invalid_above else "passed" if held else "failed"
        return {"verdict": verdict, "invalid": "the generator was late", "slos": rows}

    return asyncio.run(find_capacity(run, first=first, repeat=3, whole=True))


@pytest.mark.parametrize("holds", [1, 2, 7, 58, 104, 1000])
@pytest.mark.parametrize("first", [1, 10, 100])
def test_the_largest_load_that_holds_is_found(holds: int, first: int) -> None:
    found = search(holds, first=first)
    assert holds - max(1, holds / RESOLUTION) <= found.held <= holds
    assert found.limits == ["late_pct"]
    assert found.highest_held == found.held
    assert found.lowest_failed is not None
    assert found.lowest_failed > holds


def test_a_load_that_holds_most_times_holds_and_the_spread_says_so() -> None:
    found = search(40, first=10, flaky=frozenset({20.0}))
    assert found.held >= 38
    assert found.lowest_failed == 20
    assert [step.verdict for step in found.steps if step.load == 20] == ["failed", "passed", "passed"]


def test_nothing_holds() -> None:
    found = search(0, first=4)
    assert (found.held, found.highest_held, found.limits) == (0, None, ["late_pct"])
    assert len(found.steps) < 20


def test_a_late_generator_ends_the_search() -> None:
    found = search(1000, first=10, invalid_above=50)
    assert (found.held, found.invalid) == (40, "the generator was late")
