"""What a client may send is bounded over any time, and no honest client meets the bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bucket import Bucket
from signaling.dialects.requests import COSTS, MAX_PICTURES, MAX_TEXT_CHARS, REQUESTS
from signaling.webrtc.rates import LIMITS, Rates, TooFastError

ACTS: dict[str, dict[str, float]] = {
    "type": {"texts": 1, "characters": 200},
    "note": {"notes": 2, "characters": 400},
    "picture": {"pictures": 0.5},
    "mark": {"marks": 2},
    "ask": {"texts": 0.2, "pictures": 0.2},
}
STEPS = st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 4)), min_size=1, max_size=80)


@given(st.floats(0.1, 50), st.floats(1, 100), STEPS)
def test_no_stretch_of_time_holds_more_than_it_may(
    per_s: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket, now, taken = Bucket(per_s, burst), 100.0, list[tuple[float, float]]()
    for wait_s, amount in steps:
        now += wait_s
        before, wait = bucket.room(now), bucket.wait_s(amount, now)
        if bucket.take(amount, now):
            taken.append((now, amount))
            assert amount <= before + 1e-6
        else:
            assert wait > 0
            assert bucket.room(now) == before, "what is refused takes nothing"
            assert amount <= bucket.room(now + wait) + 1e-6
    for first, (began, earliest) in enumerate(taken):
        for last in range(first + 1, len(taken)):
            total = sum(amount for _, amount in taken[first + 1 : last + 1])
            assert total <= per_s * (taken[last][0] - began) + burst + 1e-6
        assert earliest <= burst + per_s * began


@given(st.lists(st.sampled_from(sorted(ACTS)), max_size=300), st.floats(0.5, 3))
def test_no_honest_client_meets_them(acts: list[str], pause_s: float) -> None:
    """Something every half second, all of one kind even."""
    rates, now = Rates(), 50.0
    for act in acts:
        now += pause_s
        rates.take(now, messages=1)
        rates.take(now, **ACTS[act])
    assert rates.refused == 0


@pytest.mark.parametrize("kind", LIMITS)
def test_a_flood_is_refused_with_the_time_to_wait(kind: str) -> None:
    rates, taken = Rates(), 0
    per_s, burst = {**LIMITS}[kind]  # type: ignore[index]
    step = burst / 10
    for number in range(1000):
        try:
            rates.take(10 + number / 1000, **{kind: step})
            taken += 1
        except TooFastError as error:
            refused = error
    assert taken * step <= burst + per_s + step
    assert rates.refused == 1000 - taken
    assert f"too many {kind}" in str(refused)
    rates.take(11 + refused.retry_after_s, **{kind: step})


def test_what_is_refused_for_one_reason_is_not_counted_for_another() -> None:
    rates = Rates()
    rates.take(0.0, notes=LIMITS["notes"][1])
    for _ in range(100):
        with pytest.raises(TooFastError):
            rates.take(0.0, notes=1, characters=10_000)
    rates.take(0.0, texts=1, characters=LIMITS["characters"][1])


def test_each_request_costs_something_and_can_be_paid() -> None:
    assert COSTS.keys() == REQUESTS.keys()
    asked = {"content": "x" * 10**6, "instructions": "x" * 10**6, "text": "x" * 10**6, "pictures": [""] * 10**4}
    for cost in COSTS.values():
        for each in (cost({}), cost(asked), cost({"content": 7, "pictures": 7})):
            assert sum(each.values()) >= 1
            Rates().take(0.0, **each)
    assert COSTS["ask-about-pictures"](asked) == {
        "texts": 1,
        "characters": MAX_TEXT_CHARS,
        "pictures": MAX_PICTURES,
    }
