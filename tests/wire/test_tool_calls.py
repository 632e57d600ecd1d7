"""A call's tools through the real SDK; the emulator checks that the client answers each call."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any, Literal

import numpy as np
import pytest

from agent import events
from agent.emulator.faults.kinds import CancelTools, Close, DropTcp, Fault, Interrupt, Stall, ToolStorm
from agent.emulator.model import phrases
from agent.errors import ToolError
from agent.tools.context import CallContext
from agent.tools.declare import Scheduling, Tool
from agent.tools.scheduled import Scheduled
from tests.support.talk import calling
from tests.survival.registry import survives


class Gate:
    """A tool that answers when the test wants it to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.runs = 0
        self.cancelled = 0

    async def slow(self, ctx: CallContext) -> str:
        self.runs += 1
        try:
            ctx.progress("halfway")
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "mild"

    async def silent(self) -> str:
        await self.open.wait()
        return "mild"


def slow(
    gate: Gate,
    behavior: Literal["BLOCKING", "NON_BLOCKING"] = "BLOCKING",
    scheduling: Scheduling | None = None,
    **changes: Any,
) -> Tool:
    values = {"function": gate.slow, "behavior": behavior, "scheduling": scheduling, "context": "ctx", **changes}
    return Tool("slow", "A slow one.", {"type": "object", "properties": {}}, **values)


async def test_a_blocking_tool() -> None:
    gate = Gate()
    async with calling(slow(gate)) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.ToolCalled)
        gate.open.set()
        await talk.until(events.TurnCompleted)
        record = talk.emulator.sessions[0]
        (result,) = record.tool_results
        assert (result.id, result.response, result.will_continue) == ("call-1", {"output": "mild"}, False)
        assert record.setup["tools"][0]["functionDeclarations"][0]["behavior"] == "BLOCKING"
        assert record.order.count("turnComplete") == 1


async def test_a_background_tool_reports_progress() -> None:
    gate = Gate()
    async with calling(slow(gate, "NON_BLOCKING", "WHEN_IDLE")) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.TurnCompleted, 2)  # that it looks, and how far it is
        gate.open.set()
        await talk.until(events.TurnCompleted, 3)
        results = talk.emulator.sessions[0].tool_results
        assert [result.will_continue for result in results] == [True, False]
        assert {result.scheduling for result in results} == {"WHEN_IDLE"}
        assert {result.id for result in results} == {"call-1"}


async def test_when_idle_waits_for_the_story_and_interrupt_does_not() -> None:
    schedulings: tuple[Scheduling, ...] = ("WHEN_IDLE", "INTERRUPT")
    for scheduling in schedulings:
        gate = Gate()
        async with calling(slow(gate, "NON_BLOCKING", scheduling, context=None, function=gate.silent)) as talk:
            talk.call.type_text("call slow")
            await talk.until(events.TurnCompleted)
            talk.call.type_text("tell me a long story")
            await talk.until(events.GenerationStarted, 2)
            gate.open.set()
            await talk.until(events.TurnCompleted, 3)
            order = list(talk.emulator.sessions[0].order)
            assert ("interrupted" in order) == (scheduling == "INTERRUPT")


async def test_silent_says_nothing() -> None:
    gate = Gate()
    gate.open.set()
    async with calling(slow(gate, "NON_BLOCKING", "SILENT")) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.TurnCompleted)
        await talk.until(events.ToolFinished)
        await talk.emulator.wait_for(lambda: len(talk.emulator.sessions[0].tool_results) == 2)
        talk.call.type_text("who are you")
        await talk.until(events.TurnCompleted, 2)
        assert talk.emulator.sessions[0].order.count("turnComplete") == 2
        assert [text for text in talk.said if "tool" in text.lower()] == []


@survives(
    "a tool blocks its thread",
    caller="nothing: the caller is heard all the time",
    events=("llm-function-call-stopped",),
)
@pytest.mark.parametrize("declared", [None, "INTERRUPT"])
async def test_each_answer_says_when_to_speak_of_it(declared: Scheduling | None) -> None:
    async def slow(scheduling: str, ctx: CallContext) -> object:
        if scheduling == "progress":
            ctx.progress(Scheduled("halfway", "SILENT"))
            return "done"
        if scheduling == "error":
            raise ToolError("broken", scheduling="SILENT")
        return "plain" if scheduling == "tool" else Scheduled({"is": scheduling}, scheduling)  # type: ignore[arg-type]

    schema = {"type": "object", "properties": {"scheduling": {"type": "string"}}}
    tool = Tool("slow", "A slow one.", schema, slow, behavior="NON_BLOCKING", scheduling=declared, context="ctx")
    async with calling(tool) as talk:
        results = talk.emulator.sessions[0].tool_results
        for count, said in enumerate(("SILENT", "INTERRUPT", "WHEN_IDLE", "error", "tool", "nonsense"), start=1):
            talk.call.type_text(f'call slow {{"scheduling": "{said}"}}')
            await talk.emulator.wait_for(lambda wanted=count: len(results) == wanted)  # type: ignore[misc]
        talk.call.type_text('call slow {"scheduling": "progress"}')
        await talk.emulator.wait_for(lambda: len(results) == 8)
    otherwise = declared or "WHEN_IDLE"  # as the emulator reads what is left out
    assert [result.scheduling for result in results] == [
        *("SILENT", "INTERRUPT", "WHEN_IDLE", "SILENT", otherwise, otherwise, "SILENT", otherwise)
    ]
    assert results[0].response == {"output": {"is": "SILENT"}}
    assert results[3].response == {"error": "broken"}
    assert results[5].response == {"error": "slow failed: ValueError"}


async def test_a_slow_plain_tool_holds_up_no_audio() -> None:
    def work() -> str:
        time.sleep(1.0)
        return "done"

    async with calling(Tool("slow", "", {"type": "object", "properties": {}}, work)) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.ToolCalled)
        record = talk.emulator.sessions[0]
        before = record.audio_samples_in
        for _ in range(20):
            talk.call.hear(np.zeros(320, dtype=np.int16))
            await asyncio.sleep(0.01)
        await talk.emulator.wait_for(lambda: record.audio_samples_in - before >= 15 * 320)
        assert talk.finished == []
        await talk.until(events.ToolFinished)


@survives("a tool fails", caller="the agent says so", events=("llm-function-call-stopped",), log="tool slow failed")
async def test_a_tool_that_fails_ends_no_call() -> None:
    async def broken() -> None:
        raise SystemExit(3)

    async with calling(Tool("slow", "", {"type": "object", "properties": {}}, broken)) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.TurnCompleted)
        assert talk.finished[0].outcome == "error"
        talk.call.type_text("who are you")
        await talk.until(events.TurnCompleted, 2)
        assert phrases.WHO in " ".join(talk.said)


@survives(
    "the model calls dozens of tools at once",
    caller="nothing; each call is answered, those beyond 16 with an error",
    events=("llm-function-call-stopped",),
    log="a tool call is refused, because too many are open",
)
@pytest.mark.parametrize("one_message", [True, False])
@pytest.mark.parametrize("behavior", ["BLOCKING", "NON_BLOCKING"])
async def test_every_call_of_a_storm_is_answered(
    behavior: Literal["BLOCKING", "NON_BLOCKING"], one_message: bool
) -> None:
    gate = Gate()
    storm = ToolStorm(turn=1, calls=60, when="instead", one_message=one_message)
    async with calling(slow(gate, behavior, "SILENT", context="ctx"), faults=[storm]) as talk:
        talk.call.type_text("hello")
        record = talk.emulator.sessions[0]
        await talk.emulator.wait_for(lambda: sum(not r.will_continue for r in record.tool_results) == 60 - 16)
        gate.open.set()
        await talk.emulator.wait_for(lambda: sum(not r.will_continue for r in record.tool_results) == 60)
        await talk.until(events.TurnCompleted)
        assert gate.runs == 16


async def test_a_storm_of_undeclared_calls() -> None:
    async with calling(faults=[ToolStorm(turn=1, calls=400, name="nonsense", when="instead")]) as talk:
        talk.call.type_text("hello")
        record = talk.emulator.sessions[0]
        await talk.emulator.wait_for(lambda: record.received["ToolResponse"] == 400)
        assert [event.outcome for event in talk.finished] == ["error"] * 400


@survives(
    "the model takes a tool call back", caller="nothing; the tool is stopped", events=("llm-function-call-stopped",)
)
@pytest.mark.parametrize("behavior", ["BLOCKING", "NON_BLOCKING"])
async def test_a_cancelled_call_is_stopped_and_not_answered(behavior: Literal["BLOCKING", "NON_BLOCKING"]) -> None:
    gate = Gate()
    tool = slow(gate, behavior, "SILENT")
    async with calling(tool, faults=[CancelTools(after_s=0.1)]) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.ToolFinished)
        assert talk.finished[0].outcome == "cancelled"
        gate.open.set()
        talk.call.type_text("who are you")
        await talk.until(events.TurnCompleted, 2)
        assert gate.cancelled == 1
        assert [result for result in talk.emulator.sessions[0].tool_results if not result.will_continue] == []


@survives(
    "the turn is cut while a tool runs",
    caller="nothing; the tool is stopped",
    events=("llm-function-call-stopped",),
)
async def test_an_interruption_takes_back_what_the_turn_waited_for() -> None:
    gate = Gate()
    async with calling(slow(gate), faults=[Interrupt(at="tool_called", after_s=0.1)]) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.TurnCompleted)
        assert [event.outcome for event in talk.finished] == ["cancelled"]
        assert list(talk.emulator.sessions[0].tool_results) == []


async def test_every_call_ends_once_in_a_turmoil_of_interruptions_and_cancellations() -> None:
    dice = random.Random(7)

    async def work() -> str:
        await asyncio.sleep(dice.choice([0.0, 0.02, 0.1, 0.3]))
        if dice.random() < 0.2:
            raise ToolError("no")
        return "done"

    empty = {"type": "object", "properties": {}}
    tools = [
        Tool("wait", "", empty, work, 0.05, "BLOCKING"),
        Tool("behind", "", empty, work, 0.05, "NON_BLOCKING", "WHEN_IDLE"),
    ]
    faults = [
        ToolStorm(calls=3, name="wait", when="before_speech", one_message=False),
        ToolStorm(calls=3, name="behind", when="after_speech"),
        Interrupt(after_s=0.05, every_s=0.13),
        CancelTools(at="ready", after_s=0.07, every_s=0.11),
    ]
    async with calling(*tools, faults=faults) as talk:
        for _ in range(12):
            talk.call.type_text("who are you", run_immediately=False)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        record = talk.emulator.sessions[0]
        answered = [result.id for result in record.tool_results]
        assert len(answered) == len(set(answered))
        outcomes = Counter(event.outcome for event in talk.finished)
        assert set(outcomes) >= {"result", "timeout", "cancelled"}
        assert len(answered) == sum(outcomes.values()) - outcomes["cancelled"]
        taken_back = {event.call_id.partition("#")[0] for event in talk.finished if event.outcome == "cancelled"}
        assert taken_back.isdisjoint(answered)


@pytest.mark.parametrize("fault", [Close(at="tool_called", session=1), DropTcp(at="tool_called", session=1)])
async def test_a_tool_that_survives_its_session_answers_the_next_one(fault: Fault) -> None:
    """The next session is asked again and calls again: the tool that runs already answers it."""
    gate = Gate()
    async with calling(slow(gate), faults=[fault]) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.SessionReplaced)
        first, second = talk.emulator.sessions
        await talk.emulator.wait_for(lambda: second.sent_kinds["toolCall"] == 1)
        gate.open.set()
        await talk.emulator.wait_for(lambda: len(second.tool_results) == 1)
        await talk.until(events.TurnCompleted)
        assert gate.runs == 1
        assert list(first.tool_results) == []


@survives(
    "a tool ends after the session that called it",
    caller="nothing; the model is told the result in words",
    events=("session-lost", "session-replaced", "llm-function-call-stopped"),
)
@pytest.mark.parametrize("fault", [Close(at="turn_completed", session=1), DropTcp(at="turn_completed", session=1)])
async def test_a_result_that_survives_its_session_is_told_to_the_next_one(fault: Fault) -> None:
    """The turn that called is over, so that nothing is asked again: the result is told as a note."""
    gate = Gate()
    async with calling(slow(gate, "NON_BLOCKING"), faults=[fault]) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.SessionReplaced)
        second = talk.emulator.sessions[1]
        gate.open.set()
        await talk.emulator.wait_for(lambda: len(second.texts) == 1)
        assert '"slow"' in second.texts[0]
        assert '{"output": "mild"}' in second.texts[0]
        assert gate.runs == 1
        assert list(second.tool_results) == []
        assert sum(isinstance(event, events.ContextRebuilt) for event in talk.events) == 1


async def test_work_that_was_done_is_not_done_again_for_the_next_session() -> None:
    """The result was sent, but the session ends before the model could use it: the next one asks again."""
    gate = Gate()
    gate.open.set()
    faults = [
        Stall(at="tool_called", what="send", session=1),
        DropTcp(at="tool_called", after_s=0.4, session=1),
    ]
    async with calling(slow(gate), faults=faults) as talk:
        talk.call.type_text("call slow")
        await talk.until(events.ToolFinished, 1)
        await talk.until(events.SessionReplaced)
        await talk.until(events.ToolFinished, 2)
        second = talk.emulator.sessions[1]
        await talk.emulator.wait_for(lambda: len(second.tool_results) == 1)
        assert second.tool_results[0].response == {"output": "mild"}
        assert gate.runs == 1
