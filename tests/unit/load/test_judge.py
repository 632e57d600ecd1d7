"""Each expectation: when it holds, when it does not, and when it is too early to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from signaling.load.judge import Moment, Verdict, judge
from signaling.load.scenario import Expect
from signaling.load.seen import Exchange, Seen

SPOKEN = np.full(320, 3000, np.int16)
SILENCE = np.zeros(320, np.int16)


def talk(seen: Seen, begin: float, end: float) -> None:
    """Let the agent be heard from one moment to another."""
    for frame in range(round(begin * 50), round(end * 50)):
        seen.ears.hear(SPOKEN, frame / 50)


def say(seen: Seen, text: str, at: float, segment: int = 1) -> None:
    seen.note({"type": "bot-output", "data": {"text": text, "segment_id": segment}}, at)


def understood(seen: Seen, text: str, at: float, turn: int = 1, *, typed: bool = False) -> None:
    seen.note({"type": "user-transcription", "data": {"text": text, "turn_id": turn, "typed": typed}}, at)


def server(seen: Seen, at: float, **data: Any) -> None:
    seen.note({"type": "server-message", "data": data}, at)


def call_tool(seen: Seen, at: float, outcome: str | None = "result", **told: Any) -> None:
    call_id = f"call-{at}"
    seen.note({"type": "llm-function-call-in-progress", "data": {"tool_call_id": call_id, **told}}, at)
    if outcome is not None:
        data = {"tool_call_id": call_id, "cancelled": outcome == "cancelled", "outcome": outcome}
        seen.note({"type": "llm-function-call-stopped", "data": data}, at)


def asked(began: float = 9.0, until: float = 10.0) -> Seen:
    """Return what is seen by a caller who has just asked something: the agent has greeted before."""
    seen = Seen(Exchange(0.0, 0.5, 0))
    talk(seen, 1, 3)
    say(seen, "Welcome to the weather.", 1.0, segment=0)
    call_tool(seen, 1.0, name="early", function_name="early", arguments={})
    seen.exchange = Exchange(began, until, len(seen.messages))
    return seen


def at(now: float, *, since: float = 10.0, final: bool = False) -> Moment:
    return Moment(now, since, final)


def judged(seen: Seen, moment: Moment, **fields: Any) -> Verdict | None:
    [(kind, value)] = [(kind, value) for kind, value in fields.items() if kind != "within_s"]
    expect = Expect.model_validate(fields)
    assert expect.kinds == (kind,)
    assert value is not None
    return judge(kind, expect, seen, moment)


def holds(seen: Seen, now: float, *, final: bool = False, since: float = 10.0, **fields: Any) -> bool | None:
    verdict = judged(seen, at(now, final=final, since=since), **fields)
    assert verdict is None or verdict.detail
    return None if verdict is None else verdict.holds


def answered(text: str = "It rains in Paris.", until: float = 12.0) -> Seen:
    """Return what is seen of an answer that began 0.8 s after the question."""
    seen = asked()
    say(seen, text, 10.8)
    talk(seen, 10.8, until)
    return seen


def test_a_reply_in_time() -> None:
    assert holds(asked(), 10.7, reply_within_ms=900) is None
    assert holds(answered(), 11, reply_within_ms=900) is True
    assert holds(answered(), 11, reply_within_ms=700) is False
    assert holds(asked(), 20, final=True, reply_within_ms=900) is False


def test_what_the_caller_spoke_into_is_no_reply() -> None:
    seen = asked(began=9.0, until=10.0)
    seen.exchange.cut_in = True
    talk(seen, 8.5, 10.6)
    assert holds(seen, 10.7, reply_within_ms=5000) is None
    talk(seen, 11.2, 12)
    verdict = judged(seen, at(11.5), reply_within_ms=5000)
    assert verdict == Verdict(True, "it took 1200 ms")


def test_words_that_are_heard() -> None:
    assert holds(answered(), 11, heard="RAINS in") is True
    assert holds(answered(), 11, heard="snow") is None
    assert holds(answered(), 15, heard="snow", final=True) is False
    assert holds(answered(), 11, heard="welcome", final=True) is False, "it was said before"
    silent = asked()
    say(silent, "It rains.", 10.8)
    assert holds(silent, 11, heard="rains") is None
    verdict = judged(silent, at(20, final=True), heard="rains")
    assert verdict is not None
    assert (verdict.holds, "no sound" in verdict.detail) == (False, True)


def test_an_answer_is_not_over_while_the_agent_thinks() -> None:
    seen = answered()
    server(seen, 12, type="agent-state", state="thinking")
    assert holds(seen, 20, not_called="get_weather") is None
    server(seen, 21, type="agent-state", state="listening")
    assert holds(seen, 21, not_called="get_weather") is True


def test_words_that_are_understood() -> None:
    seen = answered()
    assert holds(seen, 11, transcribed="paris") is None
    understood(seen, "what is the weather in Paris", 11)
    assert holds(seen, 11, transcribed="paris$") is True
    assert holds(seen, 15, transcribed="rome") is None
    assert holds(seen, 15, transcribed="rome", final=True) is False
    assert holds(asked(), 15, transcribed="rome", final=True) is False


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("get_weather", True),
        ({"name": "get_weather", "arguments": {"city": "paris", "days": 2}}, True),
        ({"name": "get_weather", "arguments": {"city": "Rome"}}, False),
        ({"name": "get_weather", "arguments": {"zip": 1}}, False),
        ({"name": "get_weather", "arguments": {"days": True}}, False),
        ({"name": "get_weather", "arguments": {"hours": [1, 2]}}, True),
        ({"name": "get_weather", "arguments": {"hours": [1]}}, False),
        ({"name": "get_weather", "outcome": "error"}, False),
        ({"name": "get_weather", "outcome": "any"}, True),
        ("early", False),
    ],
)
def test_a_tool_that_is_called(wanted: Any, *, expected: bool) -> None:
    seen = answered()
    arguments = {"city": "Paris", "days": 2, "unit": "C", "hours": [1, 2]}
    call_tool(seen, 10.5, function_name="get_weather", arguments=arguments)
    assert holds(seen, 15, tool=wanted, final=True) is expected
    assert holds(seen, 15, tool=wanted) is (True if expected else None)
    assert holds(asked(), 15, tool=wanted) is None
    assert holds(asked(), 15, tool=wanted, final=True) is False


def test_a_tool_that_runs_is_waited_for() -> None:
    seen = answered()
    call_tool(seen, 10.5, None, function_name="get_weather", arguments={})
    assert holds(seen, 15, tool="get_weather") is None
    assert holds(seen, 15, tool={"name": "get_weather", "outcome": "any"}) is True
    assert holds(seen, 15, tool="get_weather", final=True) is False


def test_a_service_that_tells_little() -> None:
    seen = answered()
    call_tool(seen, 10.5, function_name="get_weather")
    verdict = judged(seen, at(15, final=True), tool={"name": "get_weather", "arguments": {"city": "Paris"}})
    assert verdict is not None
    assert "tool_reports" in verdict.detail
    call_tool(seen, 10.6)
    assert holds(seen, 15, not_called="other") is False


def test_a_tool_that_is_not_called() -> None:
    seen = answered()
    assert holds(seen, 11, not_called="get_weather") is None
    assert holds(seen, 14, not_called="get_weather") is True
    assert holds(seen, 14, not_called="early") is True, "it was called before the caller asked"
    call_tool(seen, 13, None, function_name="get_weather", arguments={})
    assert holds(seen, 13, not_called="get_weather") is False


def test_the_number_of_turns() -> None:
    seen = answered()
    understood(seen, "what is the weather", 11)
    assert holds(seen, 11, turns=2) is None
    assert holds(seen, 13, turns=2) is None, "another may follow"
    assert holds(seen, 14, turns=2) is True
    assert holds(seen, 14, turns={"agent": 2, "caller": 1}) is True
    assert holds(seen, 15, turns={"caller": 2}, final=True) is False
    assert holds(seen, 15, turns=3, final=True) is False
    assert holds(seen, 15, turns=3) is None


def test_silence() -> None:
    seen = answered(until=12.0)
    assert holds(seen, 14, since=13, silent_s=2) is None
    assert holds(seen, 15, since=13, silent_s=2) is True
    assert holds(seen, 12, since=11, silent_s=2) is False
    assert holds(seen, 12.1, since=11.9, silent_s=2) is False


def test_an_event() -> None:
    seen = answered()
    assert holds(seen, 11, event="app-event") is None
    server(seen, 11, type="app-event", name="booked", data={"guests": 2})
    seen.note({"type": "bot-interrupted", "data": {}}, 11)
    assert holds(seen, 11, event="bot-interrupted") is True
    assert holds(seen, 11, event={"type": "app-event", "data": {"name": "booked", "data": {"guests": 2}}}) is True
    wanted = {"type": "app-event", "data": {"data": {"guests": 3}}}
    assert holds(seen, 11, event=wanted) is None
    assert holds(seen, 11, event=wanted, final=True) is False
    assert holds(seen, 11, event="session-lost", final=True) is False


def interrupted(stops: float) -> Seen:
    """Return what is seen by a caller who cut in at 9.0, while the agent spoke until ``stops``."""
    seen = asked()
    seen.exchange.cut_in = True
    seen.note({"type": "bot-interrupted", "data": {}}, 9.2)
    talk(seen, 8, stops)
    return seen


def test_an_interruption() -> None:
    assert holds(interrupted(9.3), 9.4, interrupted_within_ms=400) is None
    assert holds(interrupted(9.3), 10, interrupted_within_ms=400) is True
    assert holds(interrupted(9.6), 10, interrupted_within_ms=400) is False
    assert holds(interrupted(15), 15, interrupted_within_ms=400, final=True) is False
    assert holds(answered(), 15, interrupted_within_ms=400) is False, "the caller did not cut in"
    by_itself = interrupted(9.3)
    by_itself.messages.pop()
    assert holds(by_itself, 10, interrupted_within_ms=400) is None
    assert holds(by_itself, 20, interrupted_within_ms=400, final=True) is False


def test_the_end_of_the_call() -> None:
    seen = answered()
    assert holds(seen, 11, ended="idle") is None
    assert holds(seen, 11, ended="idle", final=True) is False
    server(seen, 12, type="call-ended", reason="idle", detail="Nobody spoke.", fault="caller")
    assert holds(seen, 12, ended="IDLE|budget_spent") is True
    assert holds(seen, 12, ended="id") is False
    seen.call = 1
    assert holds(seen, 12, ended="idle") is None, "that was the call before"
    seen.lost = True
    assert holds(seen, 12, ended="connection_lost") is True


def test_the_cost() -> None:
    seen = answered()
    assert holds(seen, 15, cost_below_usd=0.01) is None
    assert holds(seen, 15, cost_below_usd=0.01, final=True) is False, "nobody told"
    server(seen, 13, type="usage-reported", tokens={}, cost_usd=0.004)
    assert holds(seen, 15, cost_below_usd=0.01) is True
    assert holds(seen, 15, cost_below_usd=0.004) is False
    seen.call = 1
    server(seen, 14, type="usage-reported", tokens={}, cost_usd=0.008)
    assert holds(seen, 15, cost_below_usd=0.01) is False, "both calls count"
    server(seen, 14, type="usage-reported", tokens={}, cost_usd=None)
    assert holds(seen, 15, cost_below_usd=1) is False


def test_lost_words() -> None:
    seen = answered()
    assert holds(seen, 15, no_word_lost=True) is False, "nothing was said"
    seen.said += ["What's the weather", "in Paris?"]
    understood(seen, "what's the weather", 10)
    understood(seen, "something typed", 10, turn=2, typed=True)
    assert holds(seen, 11, no_word_lost=True) is None
    verdict = judged(seen, at(15, final=True), no_word_lost=True)
    assert verdict == Verdict(False, "lost: in paris")
    understood(seen, "in PARIS", 11, turn=3)
    assert holds(seen, 11, no_word_lost=True) is True
