"""Limits warn once, say goodbye once and end the call once, whatever happens in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.dialog.goodbye import GOODBYE_S as LAST_WORDS_S
from agent.dialog.goodbye import Goodbye
from agent.dialog.limits import QUIET_WAIT_S, Limits, SayGoodbye

GOODBYE_S = LAST_WORDS_S["reply"]
NOTHING = (None, 0.0, 0.0)


@dataclass
class End:
    """The call ends."""

    reason: str


Step = events.LimitNear | SayGoodbye | End


class Watched:
    """A call's limits and its goodbye, put together as `CallLimits` and `Farewell` do it."""

    def __init__(self, limits: Limits, *, writes: bool = False) -> None:
        self.limits = limits
        self.spent = limits.spent
        self._writes = writes
        self._goodbye: Goodbye | None = None
        self._deadline = math.inf
        self._reason = ""
        self._generation = 0
        self._speaks = False

    def note(self, event: events.Event, now: float) -> None:
        self.limits.note(event, now)
        if self._goodbye is not None:
            self._goodbye.note(event)
        if isinstance(event, events.GenerationStarted):
            self._generation = event.generation
        if isinstance(event, events.AgentStartedSpeaking | events.AgentStoppedSpeaking):
            self._speaks = isinstance(event, events.AgentStartedSpeaking)

    def steps(self, now: float) -> Iterator[Step]:
        for step in self.limits.steps(now):
            yield step
            if isinstance(step, SayGoodbye):
                self._reason, self._deadline = step.reason, now + GOODBYE_S
                self._goodbye = Goodbye("reply", after=self._generation, speaks=self._speaks, writes=self._writes)
                return
        if self._goodbye is not None and (self._goodbye.heard or now >= self._deadline):
            self._goodbye, self._deadline = None, math.inf
            yield End(self._reason)

    def next_check_s(self, now: float) -> float:
        return min(self.limits.next_check_s(now), max(0.0, self._deadline - now))


def limits(budget_usd: float | None = None, idle_timeout_s: float = 0.0, max_duration_s: float = 0.0) -> Watched:
    return Watched(
        Limits(budget_usd=budget_usd, idle_timeout_s=idle_timeout_s, max_duration_s=max_duration_s, now=100.0)
    )


def steps(watched: Watched, now: float) -> list[Step]:
    return list(watched.steps(100.0 + now))


def note(watched: Watched, now: float, *happened: events.Event) -> None:
    for event in happened:
        watched.note(event, 100.0 + now)


def kinds(taken: list[Step]) -> list[type[Step]]:
    return [type(step) for step in taken]


def test_a_budget_warns_once_then_ends_once() -> None:
    watched = limits(budget_usd=1.0)
    watched.spent(Decimal("0.79"))
    assert steps(watched, 1) == []
    watched.spent(Decimal("0.80"))
    assert steps(watched, 2) == [events.LimitNear("budget", 0.8, 1.0)]
    watched.spent(Decimal("0.99"))
    assert steps(watched, 3) == []
    watched.spent(Decimal("1.25"))
    (goodbye,) = steps(watched, 4)
    assert isinstance(goodbye, SayGoodbye)
    assert "its budget is spent" in goodbye.note
    watched.spent(Decimal("1.5"))
    assert steps(watched, 5) == []
    (end,) = steps(watched, 4 + GOODBYE_S)
    assert isinstance(end, End)
    assert end.reason == "budget_spent"
    assert steps(watched, 99) == []
    assert watched.next_check_s(199) == math.inf


def test_one_dear_turn_still_warns_before_the_goodbye() -> None:
    watched = limits(budget_usd=1.0)
    watched.spent(Decimal(5))
    assert kinds(steps(watched, 1)) == [events.LimitNear, SayGoodbye]


def test_an_unknown_cost_spends_nothing() -> None:
    watched = limits(budget_usd=1.0)
    watched.spent(None)
    assert steps(watched, 1) == []


def test_without_limits_there_is_nothing_to_do() -> None:
    watched = limits(*NOTHING)
    watched.spent(Decimal(1_000_000))
    assert steps(watched, 1e9) == []
    assert watched.next_check_s(1e9) == math.inf


def test_a_call_lasts_no_longer_than_it_may() -> None:
    watched = limits(max_duration_s=100)
    assert watched.next_check_s(100.0) == 80
    assert steps(watched, 79) == []
    assert steps(watched, 80) == [events.LimitNear("max_duration", 80, 100)]
    assert watched.next_check_s(180.0) == 20
    note(watched, 95, events.CallerStartedSpeaking())
    assert steps(watched, 100) == []  # the sentence is heard to its end
    note(watched, 103, events.CallerStoppedSpeaking())
    assert steps(watched, 103) == []  # and answered
    note(watched, 104, events.GenerationStarted(1), events.AgentStartedSpeaking(1))
    note(watched, 105, events.TurnCompleted(1, None))
    assert steps(watched, 105) == []
    note(watched, 106, events.AgentStoppedSpeaking(1))
    assert kinds(steps(watched, 106)) == [SayGoodbye]


def test_a_sentence_that_does_not_end_is_not_waited_for() -> None:
    watched = limits(max_duration_s=100)
    note(watched, 95, events.CallerStartedSpeaking())
    assert kinds(steps(watched, 100)) == [events.LimitNear]
    assert watched.next_check_s(200.0) == QUIET_WAIT_S
    assert kinds(steps(watched, 100 + QUIET_WAIT_S)) == [SayGoodbye]


def test_a_tool_and_what_is_said_of_its_answer_are_waited_for() -> None:
    watched = limits(max_duration_s=100)
    note(watched, 95, events.ToolCalled("c1", "look", {}))
    assert kinds(steps(watched, 100)) == [events.LimitNear]
    note(watched, 102, events.ToolFinished("c1", "look", "result"))
    assert steps(watched, 102) == []
    note(watched, 103, events.GenerationStarted(1), events.AgentStartedSpeaking(1), events.TurnCompleted(1, None))
    assert steps(watched, 103) == []
    note(watched, 104, events.AgentStoppedSpeaking(1))
    assert kinds(steps(watched, 104)) == [SayGoodbye]


@pytest.mark.parametrize("outcome", ["cancelled", "result"])
def test_a_tool_that_nothing_is_said_of_is_not_waited_for(outcome: Any) -> None:
    watched = limits(max_duration_s=100)
    note(watched, 95, events.ToolCalled("c1", "look", {}))
    note(watched, 98, events.ToolFinished("c1", "look", outcome))
    if outcome == "result":
        note(watched, 99, events.TurnCompleted(1, None))
    assert kinds(steps(watched, 100)) == [events.LimitNear, SayGoodbye]


def test_a_tool_that_does_not_end_is_not_waited_for() -> None:
    watched = limits(max_duration_s=100)
    note(watched, 95, events.ToolCalled("c1", "look", {}))
    assert kinds(steps(watched, 100)) == [events.LimitNear]
    assert kinds(steps(watched, 100 + QUIET_WAIT_S)) == [SayGoodbye]


def test_a_goodbye_that_is_written_need_not_be_heard() -> None:
    watched = Watched(Limits(budget_usd=None, idle_timeout_s=0.0, max_duration_s=100, now=100.0), writes=True)
    assert kinds(steps(watched, 100)) == [events.LimitNear, SayGoodbye]
    note(watched, 101, events.GenerationStarted(1))
    assert steps(watched, 101) == []
    note(watched, 102, events.TurnCompleted(1, None))
    assert kinds(steps(watched, 102)) == [End]


@pytest.mark.parametrize(
    "sign",
    [
        events.CallerStoppedSpeaking(),
        events.CallerTranscribed("t1", 1, "hm", final=True, typed=True),
        events.AgentStoppedSpeaking(1),
        events.ToolFinished("c1", "x", "result"),
    ],
)
def test_every_sign_of_life_puts_off_the_idle_end_and_its_warning(sign: events.Event) -> None:
    watched = limits(idle_timeout_s=100)
    assert steps(watched, 80) == [events.LimitNear("idle", 80, 100)]
    note(watched, 90, sign)
    assert steps(watched, 169) == []
    assert steps(watched, 170) == [events.LimitNear("idle", 80, 100)]
    note(watched, 189, events.GenerationStarted(1), events.TurnCompleted(1, None))
    assert steps(watched, 268) == []
    (near, goodbye) = steps(watched, 289)
    assert isinstance(near, events.LimitNear)
    assert isinstance(goodbye, SayGoodbye)


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (events.CallerStartedSpeaking(), events.CallerStoppedSpeaking()),
        (events.AgentStartedSpeaking(1), events.AgentStoppedSpeaking(1)),
        (events.ToolCalled("c1", "x", {}), events.ToolFinished("c1", "x", "cancelled")),
    ],
)
def test_a_call_is_not_idle_while_something_goes_on(begins: events.Event, ends: events.Event) -> None:
    watched = limits(idle_timeout_s=100)
    note(watched, 10, begins)
    assert steps(watched, 1000) == []
    assert watched.next_check_s(1100.0) == 80
    note(watched, 1001, ends)
    assert steps(watched, 1080) == []
    assert kinds(steps(watched, 1081)) == [events.LimitNear]


def test_pictures_and_usage_are_no_signs_of_life() -> None:
    watched = limits(idle_timeout_s=100)
    note(watched, 99, events.PictureSent("screen", 1, 1, 1), events.UsageReported({}, None))
    assert kinds(steps(watched, 100)) == [events.LimitNear, SayGoodbye]


def saying_goodbye(*before: events.Event) -> Watched:
    """The goodbye was asked for, at 100 s if it was quiet then, else at 110 s."""
    watched = limits(max_duration_s=100)
    note(watched, 0, *before)
    taken = steps(watched, 100)
    if before:
        taken += steps(watched, 100 + QUIET_WAIT_S)
    assert kinds(taken) == [events.LimitNear, SayGoodbye]
    assert watched.limits.closing
    return watched


SAID = (events.GenerationStarted(3), events.AgentStartedSpeaking(3), events.GenerationCompleted(3))


def test_the_goodbye_is_heard_to_its_end() -> None:
    watched = saying_goodbye()
    note(watched, 101, *SAID)
    assert steps(watched, 103) == []
    note(watched, 104, events.AgentStoppedSpeaking(3))
    assert kinds(steps(watched, 104)) == [End]


def test_speech_that_runs_dry_is_not_the_end_of_the_goodbye() -> None:
    watched = saying_goodbye()
    note(watched, 101, events.GenerationStarted(3), events.AgentStartedSpeaking(3), events.AgentStoppedSpeaking(3))
    assert steps(watched, 102) == []
    note(watched, 102, events.AgentStartedSpeaking(3), events.TurnCompleted(3, None))
    assert steps(watched, 103) == []
    note(watched, 104, events.AgentStoppedSpeaking(3))
    assert kinds(steps(watched, 104)) == [End]


def test_the_end_of_the_speech_before_is_not_the_goodbye() -> None:
    watched = saying_goodbye(events.GenerationStarted(2), events.AgentStartedSpeaking(2))
    note(watched, 111, events.TurnCompleted(2, None), events.AgentStoppedSpeaking(2))
    assert steps(watched, 112) == []
    note(watched, 113, *SAID)
    assert steps(watched, 113) == []
    note(watched, 114, events.AgentStoppedSpeaking(3))
    assert kinds(steps(watched, 114)) == [End]


def test_a_goodbye_that_is_generated_but_not_sent_yet_is_waited_for() -> None:
    watched = saying_goodbye(events.GenerationStarted(2), events.AgentStartedSpeaking(2))
    note(watched, 111, events.TurnCompleted(2, None), events.AgentStoppedSpeaking(2))
    note(watched, 112, events.GenerationStarted(3), events.TurnCompleted(3, None))
    assert steps(watched, 112) == []
    note(watched, 113, events.AgentStartedSpeaking(3), events.AgentStoppedSpeaking(3))
    assert kinds(steps(watched, 113)) == [End]


def test_a_goodbye_that_follows_other_speech_without_a_gap_is_heard_too() -> None:
    watched = saying_goodbye(events.GenerationStarted(2), events.AgentStartedSpeaking(2))
    note(watched, 111, events.TurnCompleted(2, None), events.GenerationStarted(3), events.TurnCompleted(3, None))
    assert steps(watched, 112) == []
    note(watched, 114, events.AgentStoppedSpeaking(3))
    assert kinds(steps(watched, 114)) == [End]


def test_a_goodbye_that_is_interrupted_is_waited_for_no_longer_than_any() -> None:
    watched = saying_goodbye()
    note(watched, 101, *SAID, events.AgentStoppedSpeaking(3), events.AgentInterrupted(3, 1, 1))
    assert steps(watched, 102) == []
    assert kinds(steps(watched, 100 + GOODBYE_S)) == [End]


def test_a_model_that_says_nothing_does_not_hold_the_call() -> None:
    watched = saying_goodbye()
    note(watched, 101, events.GenerationStarted(3), events.TurnCompleted(3, "RESPONSE_REJECTED"))
    assert steps(watched, 102) == []
    assert watched.next_check_s(202.0) == GOODBYE_S - 2
    assert kinds(steps(watched, 100 + GOODBYE_S)) == [End]


HAPPENED = st.one_of(
    st.just(events.CallerStartedSpeaking()),
    st.just(events.CallerStoppedSpeaking()),
    st.just(events.CallerTranscribed("t", 1, "x", final=True, typed=True)),
    *(
        st.integers(1, 4).map(make)
        for make in (
            events.GenerationStarted,
            events.GenerationCompleted,
            events.AgentStartedSpeaking,
            events.AgentStoppedSpeaking,
            lambda generation: events.TurnCompleted(generation, None),
            lambda generation: events.AgentInterrupted(generation, 0, 0),
        )
    ),
    st.integers(1, 3).map(lambda number: events.ToolCalled(f"c{number}", "x", {})),
    st.integers(1, 3).map(lambda number: events.ToolFinished(f"c{number}", "x", "result")),
    st.integers(0, 300).map(lambda cents: events.UsageReported({}, cents / 100)),
)


@given(st.lists(st.tuples(st.floats(0, 30), HAPPENED), max_size=40))
def test_in_any_order_one_goodbye_then_one_end_both_in_time(happened: list[tuple[float, events.Event]]) -> None:
    watched, now, taken, cost = limits(1.0, 50, 200), 0.0, [], 0.0
    times: dict[type[Step], float] = {}

    def take() -> None:
        for step in steps(watched, now):
            taken.append(step)
            times.setdefault(type(step), now)

    def run_until(end: float) -> None:
        nonlocal now
        while now + (wait := watched.next_check_s(100.0 + now)) < end:
            now += max(wait, 1e-3)
            take()
        now = end

    for gap, event in [*happened, (300.0, events.CallerStoppedSpeaking())]:
        run_until(now + gap)
        note(watched, now, event)
        if isinstance(event, events.UsageReported) and event.cost_usd is not None:
            cost = max(cost, event.cost_usd)
            watched.spent(Decimal(str(cost)))
        take()
    assert [kind for kind in kinds(taken) if kind is not events.LimitNear] == [SayGoodbye, End]
    near = [step.kind for step in taken if isinstance(step, events.LimitNear)]
    assert near.count("budget") <= 1
    assert near.count("max_duration") <= 1
    assert isinstance(taken[-1], End)
    assert times[End] - times[SayGoodbye] <= GOODBYE_S + 0.01
    assert times[End] <= 200 + QUIET_WAIT_S + GOODBYE_S + 0.01
