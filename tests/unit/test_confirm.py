"""A yes is asked for, waited for, and good once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.confirm import WITHIN_S, Confirmations


def test_the_second_call_after_the_caller_spoke_runs_and_the_third_asks_again() -> None:
    asked = Confirmations()
    assert not asked.given("pay", {"eur": 5}, caller_spoke_at=9.0, now=10.0)
    assert not asked.given("pay", {"eur": 5}, caller_spoke_at=9.0, now=11.0)
    assert asked.given("pay", {"eur": 5}, caller_spoke_at=12.0, now=13.0)
    assert not asked.given("pay", {"eur": 5}, caller_spoke_at=12.0, now=14.0)


def test_a_yes_to_one_thing_is_none_to_another() -> None:
    asked = Confirmations()
    assert not asked.given("pay", {"eur": 5}, caller_spoke_at=0.0, now=10.0)
    assert not asked.given("pay", {"eur": 50}, caller_spoke_at=12.0, now=13.0)
    assert not asked.given("give", {"eur": 5}, caller_spoke_at=12.0, now=13.0)
    assert asked.given("pay", {"eur": 5}, caller_spoke_at=12.0, now=14.0)


def test_a_late_yes_is_none() -> None:
    asked = Confirmations()
    assert not asked.given("pay", {}, caller_spoke_at=0.0, now=10.0)
    assert not asked.given("pay", {}, caller_spoke_at=11.0, now=10.5 + WITHIN_S)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60))
def test_nothing_runs_that_the_caller_was_not_asked_about(calls: list[tuple[int, bool]]) -> None:
    asked = Confirmations()
    spoke_at = 0.0
    open_asks: dict[int, float] = {}
    for step, (number, speaks) in enumerate(calls, start=1):
        now = float(step)
        if speaks:
            spoke_at = now - 0.5
        if asked.given("pay", {"n": number}, caller_spoke_at=spoke_at, now=now):
            assert open_asks.pop(number) < spoke_at
        else:
            open_asks.setdefault(number, now)
