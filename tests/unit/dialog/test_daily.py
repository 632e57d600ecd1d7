"""The daily total is counted to the cent, forgotten after a day, and charged to the right key."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent import events
from agent.call.farewell import Farewell
from agent.call.limits import CallLimits
from agent.call.ports import CallPorts
from agent.dialog.budget import Meter
from agent.dialog.daily import DAY_S, STEP_S, TOTAL, Budgets, Purse, RollingDay
from agent.dialog.limits import Limits, SayGoodbye
from agent.dialog.prices import KNOWN, price_of
from agent.errors import ConfigError
from agent.live.wire import Usage
from agent.media.playout import Playout
from agent.settings import Settings
from signaling.prices import load_prices

STEPS = st.lists(st.tuples(st.floats(0, 20_000), st.floats(0, 5)), max_size=60)


@given(STEPS, st.floats(0.1, 100))
@example([(0.0, 3.1603689485971964), (200.0, 1.009856288127954)], 1.009856288127954)
def test_a_day_holds_what_was_used_in_it(steps: list[tuple[float, float]], limit: float) -> None:
    day, now, added = RollingDay(), 1e6, list[tuple[float, float]]()
    for wait_s, amount in steps:
        now += wait_s
        day.add(amount, now)
        added.append((now, amount))
        sure = sum(each for at, each in added if at > now - DAY_S)
        at_most = sum(each for at, each in added if at > now - DAY_S - STEP_S)
        assert sure - 1e-6 <= day.used(now) <= at_most + 1e-6
    wait_s = day.below_in_s(limit, now)
    assert 0 <= wait_s <= DAY_S + STEP_S
    assert day.used(now + wait_s + 0.001) < limit
    assert (wait_s == 0) == (day.used(now) < limit) or wait_s > 0
    assert day.used(now + DAY_S + 2 * STEP_S) == 0


def test_a_key_is_charged_for_its_own_calls_and_all_for_all() -> None:
    budgets = Budgets(budget_usd=10, key_budget_usd=1, key_minutes=2)
    ann, bob, nobody = budgets.purse("ann"), budgets.purse("bob"), budgets.purse(None)
    ann.charge(0.0, usd=1.0)
    assert (ann.reached(0.0), bob.reached(0.0), nobody.reached(0.0)) == ("daily_budget", None, None)
    bob.charge(0.0, seconds=119)
    assert bob.reached(0.0) is None
    bob.charge(0.0, seconds=1)
    assert bob.reached(0.0) == "daily_minutes"
    nobody.charge(0.0, usd=9.0)
    assert nobody.reached(0.0) == "daily_budget"
    assert budgets.purse("carol").reached(0.0) == "daily_budget"
    later = nobody.free_in_s(0.0)
    assert DAY_S <= later <= DAY_S + STEP_S
    assert all(each.reached(later) is None for each in (ann, bob, nobody))
    assert sorted(budgets.accounts) == ["ann", "bob", "carol", TOTAL]


def test_without_a_limit_nothing_is_kept() -> None:
    budgets = Budgets()
    assert not budgets.purse("ann").limited
    assert budgets.accounts == {}
    assert not Budgets(key_minutes=1).purse(None).limited


@pytest.mark.parametrize(
    ("limit", "reason"), [("daily_budget", "daily_budget_spent"), ("daily_minutes", "daily_minutes_used")]
)
def test_a_running_call_says_goodbye_and_ends(limit: events.LimitKind, reason: str) -> None:
    reached: list[events.LimitKind] = []
    watched = Limits(
        budget_usd=None,
        idle_timeout_s=0,
        max_duration_s=0,
        now=0.0,
        reached=lambda _now: reached[0] if reached else None,
        check_interval_s=2.0,
    )
    assert list(watched.steps(1.0)) == []
    assert watched.next_check_s(1.0) == 2.0
    reached.append(limit)
    (goodbye,) = watched.steps(3.0)
    assert isinstance(goodbye, SayGoodbye)
    assert "day" in goodbye.note
    assert goodbye.reason == reason
    assert not events.CallEnded(goodbye.reason, goodbye.detail, "operator").is_error


class Called:
    """One call's limits, with a clock of its own, and what they did."""

    def __init__(self, purse: Purse) -> None:
        self.now = 0.0
        self.told: list[Any] = []
        self.ended: list[str] = []
        self.started: list[str] = []
        ports = CallPorts(
            "c1",
            lambda: self.now,
            act=lambda _outcomes: None,
            send=self.told.append,
            start=lambda _work, name: self.started.append(name),
            hang_up=lambda reason, _detail, _fault: self.ended.append(reason),
        )
        meter, farewell = Meter(price_of(KNOWN, "gemini-3.8-live")), Farewell(ports, Playout(), writes=False)
        self.limits = CallLimits(ports, Settings(), meter, farewell, purse=purse)


def test_time_and_money_of_a_call_are_charged_once() -> None:
    async def scenario() -> None:
        budgets = Budgets(budget_usd=5, minutes=100)
        call = Called(budgets.purse(None))
        keeping = asyncio.create_task(call.limits.keep())
        for _ in range(3):
            await asyncio.sleep(0)
            call.now += 60
            call.limits.bill(Usage({"AUDIO": 10_000}, {"AUDIO": 1_000}))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        account = budgets.accounts[TOTAL]
        assert account.used_minutes(call.now) == pytest.approx(3)
        assert account.usd(call.now) == pytest.approx(float(3 * (Decimal("0.03") + Decimal("0.012"))))

    asyncio.run(scenario())


def test_time_is_charged_while_the_goodbye_is_awaited() -> None:
    async def scenario() -> None:
        budgets = Budgets(budget_usd=None, minutes=3)
        call = Called(budgets.purse(None))
        keeping = asyncio.create_task(call.limits.keep())
        for _ in range(3):
            await asyncio.sleep(0)
            call.now += 60
            call.limits.bill(Usage({"AUDIO": 1}, {}))
        await asyncio.sleep(0)
        assert call.started == ["goodbye"]
        call.now += 6
        call.limits.note(events.AgentStartedSpeaking(1))
        await asyncio.sleep(0)
        assert budgets.accounts[TOTAL].used_minutes(call.now) == pytest.approx(3.1)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["daily_budget_usd", "key_daily_budget_usd"])
def test_a_budget_wants_a_price(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: cannot be enforced"):
        load_prices(Settings(model="of-no-price", **{name: 1.0}))  # type: ignore[arg-type]
