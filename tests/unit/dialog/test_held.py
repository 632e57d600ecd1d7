"""Messages for the model cancel no tool call, cut off no answer, and are still delivered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.held import ANSWER_S, MAX_HELD, MAX_HELD_S, MAYBE_ANSWER_S, Held, State

START = 1000.0
IDLE = State(awaits_tool=False, tool_runs=False, turn_open=False, caller_first=False)
AWAITS = State(awaits_tool=True, tool_runs=True, turn_open=False, caller_first=False)
BESIDE = State(awaits_tool=False, tool_runs=True, turn_open=False, caller_first=False)
SPEAKS = State(awaits_tool=False, tool_runs=False, turn_open=True, caller_first=False)
SPEAKS_BESIDE = State(awaits_tool=False, tool_runs=True, turn_open=True, caller_first=False)
ASKED = State(awaits_tool=False, tool_runs=False, turn_open=False, caller_first=True)


def held(*items: str, wants_reply: bool = False, now: float = START) -> Held[str]:
    waits = Held[str]()
    for item in items:
        assert waits.put(item, now, wants_reply=wants_reply)
    return waits


@pytest.mark.parametrize(
    ("state", "waits"),
    [(IDLE, False), (SPEAKS, False), (ASKED, False), (BESIDE, False), (AWAITS, True), (SPEAKS_BESIDE, True)],
)
def test_what_must_wait(state: State, waits: bool) -> None:
    assert Held[str]().must_wait(state, START) is waits


def test_the_turn_that_called_is_open_until_it_is_complete() -> None:
    waits = Held[str]()
    waits.tool_called()
    assert waits.must_wait(BESIDE, START)
    waits.turn_completed(START)
    assert not waits.must_wait(BESIDE, START)


def test_what_comes_later_waits_behind_what_waits() -> None:
    assert held("first").must_wait(IDLE, START)


@pytest.mark.parametrize("state", [AWAITS, SPEAKS, SPEAKS_BESIDE, ASKED])
def test_it_goes_on_waiting(state: State) -> None:
    waits = held("a")
    assert waits.take(state, START + MAX_HELD_S - 0.1) == []
    assert waits.waiting


def test_it_is_told_when_nothing_goes_on() -> None:
    waits = held("a", "b", "c")
    assert waits.take(IDLE, START) == ["a", "b", "c"]
    assert not waits.waiting
    assert waits.take(IDLE, START) == []


def test_beside_a_tool_that_nobody_waits_for_it_is_told_between_turns() -> None:
    assert held("a").take(BESIDE, START) == ["a"]


def test_it_does_not_wait_for_ever_but_for_a_tool() -> None:
    for state in (SPEAKS, ASKED, SPEAKS_BESIDE):
        assert held("a").take(state, START + MAX_HELD_S) == ["a"]
    assert held("a").take(AWAITS, START + 1000) == []


def test_the_answer_to_one_comes_before_the_next() -> None:
    waits = held("a", "b", wants_reply=True)
    assert waits.take(IDLE, START) == ["a"]
    assert waits.take(IDLE, START + ANSWER_S - 0.1) == []
    waits.turn_completed(START + 1)
    assert waits.take(IDLE, START + 1) == ["b"]


def test_an_answer_that_was_waited_for_is_spoken_of_in_the_same_turn() -> None:
    waits = held("a")
    waits.tool_called()
    waits.tool_answered(START, silent=False, awaited=True, turn_open=False)
    assert waits.take(IDLE, START + 1) == []
    waits.turn_completed(START + 2)
    assert waits.take(IDLE, START + 2) == ["a"]


@pytest.mark.parametrize("turn_open", [False, True])
def test_an_answer_that_was_not_waited_for_is_spoken_of_in_the_next_turn(turn_open: bool) -> None:
    waits = held("a")
    waits.tool_called()
    if not turn_open:
        waits.turn_completed(START)
    waits.tool_answered(START, silent=False, awaited=False, turn_open=turn_open)
    if turn_open:
        waits.turn_completed(START + 0.5)
    assert waits.take(IDLE, START + 1) == []
    assert waits.take(SPEAKS, START + ANSWER_S + 1) == []
    waits.turn_completed(START + ANSWER_S + 2)
    assert waits.take(IDLE, START + ANSWER_S + 2) == ["a"]


def test_where_nobody_knows_another_turn_is_waited_for_but_not_for_long() -> None:
    waits = held("a")
    waits.tool_called()
    waits.tool_answered(START, silent=False, awaited=None, turn_open=False)
    waits.turn_completed(START + 1)
    assert waits.take(IDLE, START + 1 + MAYBE_ANSWER_S - 0.1) == []
    assert waits.take(IDLE, START + 1 + MAYBE_ANSWER_S) == ["a"]


def test_if_no_turn_comes_it_is_told() -> None:
    waits = held("a")
    waits.tool_answered(START, silent=False, awaited=False, turn_open=False)
    assert waits.take(IDLE, START + ANSWER_S) == ["a"]


def test_nobody_speaks_of_a_silent_answer() -> None:
    waits = held("a")
    waits.tool_answered(START, silent=True, awaited=False, turn_open=False)
    assert waits.take(IDLE, START) == ["a"]


def test_the_end_of_a_session_ends_its_turn() -> None:
    waits = held("a")
    waits.tool_called()
    waits.tool_answered(START, silent=False, awaited=False, turn_open=True)
    waits.session_ended()
    assert waits.take(IDLE, START) == ["a"]


def test_too_much_is_dropped_and_counted() -> None:
    waits = held(*map(str, range(MAX_HELD)))
    assert not waits.put("more", START, wants_reply=False)
    assert waits.dropped == 1
    assert waits.take(IDLE, START) == list(map(str, range(MAX_HELD)))


STATES = st.builds(State, st.booleans(), st.booleans(), st.booleans(), st.booleans())
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["tell", "tell", "tell", "ask", "call", "answer", "late answer", "an answer", "turn", "lost", "look"]
        ),
        STATES,
        st.sampled_from([0.0, 0.1, 1.0, ANSWER_S, MAX_HELD_S]),
    ),
    max_size=60,
)


@given(STEPS)
def test_all_is_told_once_in_order_and_never_while_the_model_waits_for_a_tool(
    steps: list[tuple[str, State, float]],
) -> None:
    waits, now = Held[int](), START
    told: list[int] = []
    number = 0
    for what, state, wait_s in steps:
        now += wait_s
        match what:
            case "tell" | "ask":
                number += 1
                if not waits.must_wait(state, now):
                    assert not state.awaits_tool
                    told.append(number)
                else:
                    waits.put(number, now, wants_reply=what == "ask")
            case "call":
                waits.tool_called()
            case "answer" | "late answer" | "an answer":
                awaited = None if what == "an answer" else what == "answer"
                waits.tool_answered(now, silent=False, awaited=awaited, turn_open=state.turn_open)
            case "turn":
                waits.turn_completed(now)
            case "lost":
                waits.session_ended()
            case _:
                now_told = waits.take(state, now)
                assert not (now_told and state.awaits_tool)
                told += now_told
    for _ in range(number):
        now += MAX_HELD_S + 1  # not to the last bit: sums of seconds are rounded
        told += waits.take(IDLE, now)
    assert told == list(range(1, number + 1))
