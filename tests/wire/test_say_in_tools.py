"""What is said while a tool is open cancels no call and loses no answer, by every model's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from agent import events
from agent.emulator import CallFunction, Reply, Say, Turn
from agent.emulator.faults.kinds import DropTcp
from agent.errors import ToolError
from agent.tools.context import CallContext
from agent.tools.declare import Behavior, Scheduling, Tool
from tests.support.talk import Talk, calling
from tests.survival.registry import survives

NATIVE = "gemini-2.5-flash-native-audio-preview-12-2025"
THINKING = "gemini-3.8-live-extended-thinking"
OLD = "gemini-3.1-flash-live-preview"
ANSWER, SAID = "It is 21 degrees.", "This takes a moment."
KINDS: list[tuple[str, Behavior | None, Scheduling | None]] = [
    ("gemini-3.8-live", "BLOCKING", None),
    ("gemini-3.8-live", None, None),
    ("gemini-3.8-live", "NON_BLOCKING", "WHEN_IDLE"),
    ("gemini-3.8-live", "NON_BLOCKING", None),
    (THINKING, "NON_BLOCKING", None),
    (THINKING, None, None),
    (OLD, "BLOCKING", None),
    (OLD, None, None),
    (NATIVE, "BLOCKING", None),
    (NATIVE, "NON_BLOCKING", "INTERRUPT"),
    ("gemini-of-tomorrow", None, None),
]
Doing = Callable[[CallContext], None]


def measuring(
    doing: Doing, behavior: Behavior | None, scheduling: Scheduling | None = None, seconds: float = 0.3
) -> Tool:
    """A tool that does something with the call, and takes its time."""

    async def measure(ctx: CallContext) -> int:
        await asyncio.sleep(0.05)
        doing(ctx)
        await asyncio.sleep(seconds)
        return 21

    empty = {"type": "object", "properties": {}}
    return Tool("measure", "", empty, measure, behavior=behavior, scheduling=scheduling, context="ctx")


def measures(turn: Turn) -> Reply | None:
    """Calls the tool, with a word beside it where that is possible; then tells its answer."""
    if turn.results:
        return (Say(ANSWER),)
    if turn.text == "measure":
        background = turn.functions["measure"]
        return (CallFunction("measure", {}), Say("Let me see.")) if background else (CallFunction("measure", {}),)
    return None


def assert_whole(talk: Talk) -> None:
    """The tool's one call was neither taken back nor cut."""
    (session,) = talk.emulator.sessions
    assert [event.outcome for event in talk.finished] == ["result"]
    assert [result.response for result in session.tool_results] == [{"output": 21}]
    assert session.sent_kinds["toolCallCancellation"] == 0
    interrupts = any(result.scheduling == "INTERRUPT" for result in session.tool_results)
    assert session.sent_kinds["interrupted"] == 0 or interrupts


@pytest.mark.parametrize(
    ("model", "behavior", "scheduling", "pace"),
    [*((*kind, 50.0) for kind in KINDS), *((*kind, 2.0) for kind in KINDS[:4])],
)
async def test_a_tool_says_something(
    model: str, behavior: Behavior | None, scheduling: Scheduling | None, pace: float
) -> None:
    tool = measuring(lambda ctx: ctx.say(SAID), behavior, scheduling)
    options: dict[str, Any] = {"pace": pace, "await_playback": pace < 10}
    async with calling(tool, settings={"model": model}, on_turn=measures, **options) as talk:
        talk.call.type_text("measure")
        await talk.has_said(ANSWER, SAID)
        await talk.until(events.TurnCompleted, 2)
        assert_whole(talk)
        assert talk.count(events.AgentFellSilent) == 0


async def test_a_tool_that_nobody_waits_for_says_it_at_once() -> None:
    tool = measuring(lambda ctx: ctx.say(SAID), "NON_BLOCKING", "WHEN_IDLE", seconds=1.5)
    async with calling(tool, on_turn=measures) as talk:
        talk.call.type_text("measure")
        await talk.has_said(SAID)
        assert talk.finished == []
        await talk.has_said(ANSWER)
        assert talk.said == ["Let me see.", SAID, ANSWER]
        assert_whole(talk)


def say_twice(ctx: CallContext) -> None:
    ctx.say("One.")
    ctx.say("Two.")


@survives(
    "a tool has the agent say something while the model waits for its answer, and would take the call back",
    caller="the answer first, then what the tool had it say",
    events=("llm-function-call-stopped",),
)
async def test_what_is_said_in_a_tool_is_said_in_order_after_its_answer() -> None:
    async with calling(measuring(say_twice, "BLOCKING"), on_turn=measures, pace=5.0, await_playback=True) as talk:
        talk.call.type_text("measure")
        await talk.has_said(ANSWER, "One.", "Two.")
        assert talk.said == [ANSWER, "One.", "Two."]
        await talk.until(events.TurnCompleted, 3)
        assert_whole(talk)


NEIGHBOURS: dict[str, Doing] = {
    "a note": lambda ctx: ctx.add_to_context("The caller is in Rome."),
    "the caller's own note": lambda ctx: ctx.add_to_context("I am in Rome.", "user"),
    "a question": lambda ctx: ctx.add_to_context("who are you", "user", run_immediately=True),
}


@pytest.mark.parametrize("model", ["gemini-3.8-live", OLD, NATIVE])
@pytest.mark.parametrize("what", NEIGHBOURS)
async def test_a_tool_tells_the_model_something(what: str, model: str) -> None:
    tool = measuring(NEIGHBOURS[what], "BLOCKING")
    async with calling(tool, settings={"model": model}, on_turn=measures) as talk:
        talk.call.type_text("measure")
        await talk.has_said(ANSWER)
        (session,) = talk.emulator.sessions
        await talk.emulator.wait_for(lambda: len(session.texts) + len(session.contents) == 2)
        if what == "a question":
            await talk.until(events.TurnCompleted, 2)
            assert len(talk.said) == 2
        assert_whole(talk)


async def test_the_client_tells_the_model_something() -> None:
    tool = measuring(lambda _ctx: None, "BLOCKING")
    async with calling(tool, on_turn=measures) as talk:
        talk.call.type_text("measure")
        await talk.until(events.ToolCalled)
        talk.call.add_to_context("who are you", "user", run_immediately=True)
        talk.call.say(SAID)
        await talk.has_said(ANSWER, SAID)
        assert_whole(talk)
        assert talk.said[0] == ANSWER
        assert talk.said[-1] == SAID


async def test_the_initial_message_waits_for_a_tool() -> None:
    """The agent has greeted, and called a tool of its own accord, before the message is due."""

    def greets_and_measures(turn: Turn) -> Reply | None:
        return measures(turn if "Hello there" not in (turn.text or "") else _measuring(turn))

    settings = {"initial_message": "who are you", "initial_message_delay_s": 0.2}
    tool = measuring(lambda _ctx: None, "BLOCKING", seconds=0.6)
    async with calling(tool, settings=settings, greeting="Hello there", on_turn=greets_and_measures) as talk:
        talk.call.media_flows()
        await talk.has_said(ANSWER)
        await talk.until(events.TurnCompleted, 2)
        assert len(talk.said) == 2
        assert_whole(talk)


def _measuring(turn: Turn) -> Turn:
    return Turn(turn.wall, text="measure", functions=turn.functions)


async def test_the_goodbye_at_a_limit_waits_for_a_tool() -> None:
    tool = measuring(lambda _ctx: None, "BLOCKING", seconds=1.0)
    async with calling(tool, settings={"max_duration_s": 1.0}, on_turn=measures) as talk:
        talk.call.type_text("measure")
        await talk.until(events.LimitNear)
        await talk.has_said(ANSWER)
        await talk.emulator.wait_for(lambda: len(talk.emulator.sessions[0].texts) == 2)
        assert "the call ends now" in talk.emulator.sessions[0].texts[1]
        assert_whole(talk)


async def test_a_late_answer_of_one_tool_waits_for_another() -> None:
    """The first session's tool survives it, and ends while the second session waits for another one."""
    slow = measuring(lambda _ctx: None, "NON_BLOCKING", "WHEN_IDLE", seconds=1.0)

    async def look() -> str:
        await asyncio.sleep(1.5)
        return "a tree"

    other = Tool("look", "", {"type": "object", "properties": {}}, look, behavior="BLOCKING")

    def script(turn: Turn) -> Reply | None:
        if turn.results:
            return (Say("It is a tree."),)
        return (CallFunction("look", {}),) if turn.text == "look" else measures(turn)

    faults = [DropTcp(session=1, at="turn_completed")]
    async with calling(slow, other, faults=faults, on_turn=script) as talk:
        talk.call.type_text("measure")
        await talk.until(events.SessionReplaced)
        talk.call.type_text("look")
        await talk.until(events.ToolFinished, 2)
        assert [(event.name, event.outcome) for event in talk.finished] == [
            ("measure", "result"),
            ("look", "result"),
        ]
        await talk.has_said("It is a tree.")
        second = talk.emulator.sessions[1]
        await talk.emulator.wait_for(lambda: any('"measure"' in text for text in second.texts))
        assert second.sent_kinds["toolCallCancellation"] == 0


async def test_what_the_caller_types_comes_first() -> None:
    """It may take the call back; what the tool wanted to say is said all the same, after the answer."""
    tool = measuring(lambda ctx: ctx.say(SAID), "BLOCKING", seconds=5.0)
    async with calling(tool, on_turn=measures) as talk:
        talk.call.type_text("measure")
        await talk.until(events.ToolCalled)
        await asyncio.sleep(0.1)
        talk.call.type_text("who are you")
        await talk.has_said(SAID)
        assert [event.outcome for event in talk.finished] == ["cancelled"]
        assert len(talk.said) == 2
        assert talk.said[1] == SAID


async def test_a_tool_that_never_stops_talking_cannot_fill_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    def chatter(ctx: CallContext) -> None:
        for _ in range(200):
            with suppress(ToolError):  # that it is too much
                ctx.add_to_context("Again.")

    async with calling(measuring(chatter, "BLOCKING"), on_turn=measures) as talk:
        talk.call.type_text("measure")
        await talk.has_said(ANSWER)
        (session,) = talk.emulator.sessions
        await talk.emulator.wait_for(lambda: len(session.contents) == 64)
        assert "too many wait for a tool to end" in caplog.text
        assert_whole(talk)
