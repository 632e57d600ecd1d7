"""What of a call's events is kept, and when it began and ended."""

from __future__ import annotations

from typing import Any

import pytest

from agent import events
from signaling.history.observe import CallKeeper, Figures
from signaling.history.record import CallEnd, CallStart, ToolUse, Turn
from tests.support.history import BEGAN_MS, call

REPORT = events.ToolReport("none", frozenset({"card"}))


class Notes:
    """A history that only remembers what it was told."""

    def __init__(self) -> None:
        self.facts: list[Any] = []

    def started(self, start: CallStart) -> None:
        self.facts.append(start)

    def turn(self, _start: CallStart, turn: Turn) -> None:
        self.facts.append(turn)

    def tool(self, _start: CallStart, use: ToolUse) -> None:
        self.facts.append(use)

    def ended(self, _start: CallStart, end: CallEnd) -> None:
        self.facts.append(end)


def kept(*steps: tuple[int, events.Event]) -> list[Any]:
    """Return what is kept of events that happen so many milliseconds after the call's beginning."""
    notes, now_ms = Notes(), [0]
    figures = Figures(
        interruptions=2,
        cost_usd=0.5,
        tokens={"prompt": {"TEXT": 3}},
        stats={"sessions": 1},
        marks=[{"name": "offer", "at_ms": 1}],
        mos_in=4.1,
    )
    keeper = CallKeeper(notes, call(0), lambda: BEGAN_MS + now_ms[0], lambda: figures)  # type: ignore[arg-type]
    for at_ms, event in steps:
        now_ms[0] = at_ms
        keeper.note(event)
    assert notes.facts[0] == call(0)
    return notes.facts[1:]


def spans(*steps: tuple[int, events.Event]) -> list[tuple[str, int, int]]:
    return [(turn.turn_id, turn.started_ms - BEGAN_MS, turn.ended_ms - BEGAN_MS) for turn in kept(*steps)]


def caller(turn_id: str, text: str, *, final: bool = False, typed: bool = False) -> events.CallerTranscribed:
    return events.CallerTranscribed(turn_id, 1, text, final, typed)


def agent(turn_id: str, text: str, *, final: bool = False, **how: Any) -> events.AgentTranscribed:
    return events.AgentTranscribed(turn_id, 1, text, final, **how)


def test_a_caller_speaks_from_the_first_sound_to_the_last() -> None:
    assert spans(
        (100, events.CallerStartedSpeaking()),
        (900, caller("t1", "Hello")),
        (1500, events.CallerStoppedSpeaking()),
        (2000, caller("t1", "Hello there", final=True)),
    ) == [("t1", 100, 1500)]


def test_a_breath_does_not_begin_a_turn_anew() -> None:
    assert spans(
        (100, events.CallerStartedSpeaking()),
        (500, events.CallerStoppedSpeaking()),
        (600, events.CallerStartedSpeaking()),
        (900, caller("t1", "Hello", final=True)),
    ) == [("t1", 100, 900)]


def test_what_is_typed_lasts_no_time_and_leaves_the_voice_to_the_next_turn() -> None:
    assert spans(
        (100, events.CallerStartedSpeaking()),
        (200, caller("t1", "typed", final=True, typed=True)),
        (900, caller("t2", "spoken", final=True)),
    ) == [("t1", 200, 200), ("t2", 100, 900)]


@pytest.mark.parametrize("words_first", [True, False])
def test_the_agents_turn_begins_when_it_is_heard(words_first: bool) -> None:
    words, voice = agent("t1", "It is"), events.AgentStartedSpeaking(1)
    steps: list[tuple[int, events.Event]] = (
        [(300, words), (500, voice)] if words_first else [(300, voice), (500, words)]
    )
    end = (900, agent("t1", "It is noon", final=True))
    assert spans(*steps, end) == [("t1", 500 if words_first else 300, 900)]


def test_each_turn_of_the_agent_has_its_own_voice() -> None:
    assert spans(
        (300, agent("t1", "One")),
        (400, events.AgentStartedSpeaking(1)),
        (700, agent("t1", "One", final=True)),
        (800, events.AgentStartedSpeaking(2)),
        (900, agent("t2", "Two", final=True)),
    ) == [("t1", 400, 700), ("t2", 800, 900)]


def test_what_was_cut_is_kept_apart_with_the_response_time() -> None:
    cut = agent("t1", "Once", final=True, interrupted=True, unheard_text="upon a time", estimated=True)
    told = kept(
        (1, agent("t1", "Once upon")),
        (2, events.AgentResponded(1, 640, typed=False)),
        (9, cut),
        (20, agent("t2", "Sorry", final=True)),
    )
    assert [(turn.text, turn.unheard, turn.interrupted, turn.response_ms) for turn in told] == [
        ("Once", "upon a time", True, 640),
        ("Sorry", "", False, None),
    ]


def test_fields_that_are_masked_are_kept_nowhere() -> None:
    (use,) = kept(
        (10, events.ToolCalled("c1", "pay", {"card": "4111", "usd": 3}, REPORT)),
        (
            40,
            events.ToolFinished("c1", "pay", "result", {"output": [{"Card": "4111"}, '{"card": "4111"}']}, REPORT),
        ),
    )
    assert use.arguments == {"card": "***", "usd": 3}
    assert "4111" not in str(use.result)
    assert (use.started_ms - BEGAN_MS, use.ended_ms - BEGAN_MS, use.outcome) == (10, 40, "result")


def test_the_end_has_the_figures() -> None:
    end = kept((5, caller("t1", "Hello", final=True)), (50, events.CallEnded("hung_up", "Bye.", "caller")))[-1]
    assert (end.ended_ms, end.reason, end.fault) == (BEGAN_MS + 50, "hung_up", "caller")
    assert (end.turns, end.interruptions, end.cost_usd, end.stats) == (1, 2, 0.5, {"sessions": 1})
    assert (end.marks, end.mos_in, end.mos_out) == ([{"name": "offer", "at_ms": 1}], 4.1, None)
