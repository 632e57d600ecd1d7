"""A scenario's rules as the offline model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.emulator import CallFunction, Say, Turn
from agent.emulator.wire.incoming import FunctionResult
from signaling.load.offline_model import OfflineModel
from signaling.load.scenario import CallTool, Rule

WALL = datetime(2026, 1, 1, tzinfo=UTC)


def asked(text: str | None) -> Turn:
    return Turn(WALL, text)


def told(name: str, **response: Any) -> Turn:
    return Turn(WALL, results=(FunctionResult("1", name, response),))


def test_the_first_rule_that_fits_answers() -> None:
    model = OfflineModel([Rule(when="rain", say="Yes."), Rule(when="rain|snow", say="No.")])
    assert model.on_turn(asked("Will it RAIN?")) == (Say("Yes."),)
    assert model.on_turn(asked("Will it snow?")) == (Say("No."),)
    assert model.on_turn(asked("Hello")) is None
    model.add(Rule(say="What?"))
    assert model.on_turn(asked(None)) == (Say("What?"),)


def test_a_rule_may_be_used_up() -> None:
    model = OfflineModel([Rule(say="Once.", times=1), Rule(say="Then.")])
    assert [model.on_turn(asked("a")) for _ in range(3)] == [(Say("Once."),), (Say("Then."),), (Say("Then."),)]


def test_what_the_service_asks_for_is_left_to_the_demo_model() -> None:
    model = OfflineModel([Rule(say="What?")])
    assert model.on_turn(asked('[Not said by the caller. Say this now, in these words: "Hello"]')) is None
    assert model.on_turn(Turn(WALL, unanswered=True)) is None
    assert model.on_turn(told("get_weather", output=1)) is None


def test_a_tool_is_called_after_what_is_said() -> None:
    rule = Rule(say="One moment.", call=CallTool(name="book", arguments={"guests": [1, 2]}))
    assert OfflineModel([rule]).on_turn(asked("book")) == (
        Say("One moment."),
        CallFunction("book", {"guests": [1, 2]}),
    )


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"output": {"table": 5, "room": "blue"}}, "Table 5, {name}, {result}."),
        ({"output": "full"}, "Table {table}, {name}, full."),
        ({"table": 6}, "Table 6, {name}, {result}."),
    ],
)
def test_a_result_is_put_into_words(response: dict[str, Any], said: str) -> None:
    model = OfflineModel([Rule(when_tool="book", say="Table {table}, {name}, {result}.")])
    assert model.on_turn(told("book", **response)) == (Say(said),)
    assert model.on_turn(told("other", **response)) is None


def test_a_silent_rule_says_so() -> None:
    model = OfflineModel([Rule(when="secret", silent=True)])
    assert model.on_turn(asked("a secret")) == ()
    assert model.silenced
    assert model.on_turn(asked("hello")) is None
    assert not model.silenced
