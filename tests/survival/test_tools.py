"""Tools that run while the agent talks or its session ends."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import numpy as np
import pytest

from agent.author.agent import Agent
from agent.emulator import CallFunction, Play, Reply, Say, Turn
from agent.emulator.faults.kinds import Close, DropTcp, Fault, GoAway
from agent.tools.declare import Behavior, Tool
from tests.support.line import MIC_HZ, MODEL_HZ, QUICK, VOICE_HZ, on_line, talkspurts_s
from tests.support.tones import tone
from tests.survival.registry import survives


class Counted:
    """A tool that takes a while, and how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    async def wait(self) -> str:
        self.runs += 1
        await asyncio.sleep(0.6)
        return "done"

    def block(self) -> str:
        self.runs += 1
        time.sleep(0.6)
        return "done"

    def agent(self, *, blocks: bool = False, behavior: Behavior = "BLOCKING") -> Agent:
        function = self.block if blocks else self.wait
        parameters = {"type": "object", "properties": {}}
        return Agent(
            tools=(Tool("slow", "A slow one.", parameters, function, behavior=behavior, scheduling="SILENT"),)
        )


def calls_first(turn: Turn) -> Reply:
    return (Play(tone(VOICE_HZ, 24_000, 0.5)),) if turn.results else (CallFunction("slow", {}),)


def calls_and_speaks(_turn: Turn) -> Reply:
    return (CallFunction("slow", {}), Play(tone(VOICE_HZ, 24_000, 1.0)))


@survives(
    "goAway while a tool runs",
    caller="nothing: the answer comes first, then the session is replaced",
    events=("session-ending", "session-replaced resumed", "llm-function-call-stopped"),
)
@survives(
    "the session is lost while a tool runs",
    caller="the answer comes as soon as the tool has ended; it runs once",
    events=("session-lost live", "session-replaced resumed"),
    log="a tool call is taken over by the new session",
)
async def test_sessions_that_end_while_a_tool_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.live.resumption.RIGHT_AFTER_S", 0.1)  # else the handle were held for bad
    faults = [
        GoAway(session=1, at="tool_called", time_left_s=6.0),
        Close(session=2, at="tool_called", after_s=0.2),
    ]
    counted = Counted()
    async with on_line(on_turn=calls_first, faults=faults, settings=QUICK, definition=counted.agent()) as line:
        await line.hears()
        await line.counted("session-replaced", 1)
        assert counted.runs == 1
        await line.hears()
        assert counted.runs == 2
        assert line.heard_s() == pytest.approx([0.5] * 2, abs=0.03)
        assert len(line.shifts_ms()) == 2
        first, second, third = line.emulator.sessions
        assert (len(first.tool_results), len(second.tool_results), len(third.tool_results)) == (1, 0, 1)
        assert [session.violations for session in line.emulator.sessions] == [[]] * 3


@survives("a tool is slow, and the agent speaks meanwhile", caller="nothing: there is no gap")
async def test_a_slow_tool_while_the_agent_speaks() -> None:
    counted = Counted()
    definition = counted.agent(blocks=True, behavior="NON_BLOCKING")
    async with on_line(on_turn=calls_and_speaks, settings=QUICK, definition=definition) as line:
        await line.hears()
        assert counted.runs == 1
        assert line.heard_s() == pytest.approx([1.0], abs=0.03)


@survives(
    "goAway, or a lost connection, while a tool runs that was asked for at length",
    caller="the answer comes as soon as the tool has ended; all that was said is sent again",
    events=("session-replaced resumed",),
    metric="talkspurt_replayed_seconds_total",
)
@pytest.mark.parametrize(
    "end",
    [
        GoAway(session=1, at="tool_called", nth=2, time_left_s=0.2),
        DropTcp(session=1, at="tool_called", nth=2, after_s=0.1),
    ],
)
async def test_a_long_question_survives_the_session_that_called_a_tool_for_it(end: Fault) -> None:
    """No handle comes while a tool is open, so the newest one knows nothing of the question."""
    counted, settings = Counted(), {**QUICK, "vad_silence_ms": 500}
    async with on_line(on_turn=calls_first, faults=[end], settings=settings, definition=counted.agent()) as line:
        await line.hears(lambda: line.caller.type("hello"))
        syllable = np.concatenate((tone(440, MIC_HZ, 0.3), np.zeros(MIC_HZ // 20, np.int16)))
        line.caller.microphone.play(np.tile(syllable, 20))  # 7 s
        await line.counted("session-replaced", 1, timeout_s=20)
        await line.hears(lambda: None, timeout_s=20)
        last = line.emulator.sessions[-1]
        assert talkspurts_s(last.audio, MODEL_HZ) == pytest.approx([0.3] * 20, abs=0.03)
        assert (len(line.emulator.sessions), counted.runs) == (2, 2)
        assert last.violations == []


def starts_or_speaks(turn: Turn) -> Reply:
    return (*((CallFunction("slow", {}),) if turn.text == "start" else ()), Say("Nice to meet you."))


@survives(
    "the session is lost while a tool runs beside a talk that goes on",
    caller="nothing: what was answered is not answered again; the model knows the words of the call",
    events=("session-lost live", "session-replaced rebuilt", "context-rebuilt"),
)
async def test_what_was_answered_beside_a_tool_is_not_answered_again() -> None:
    """The newest handle is older than the tool, and with it two questions that have their answers."""
    faults = [Close(session=1, at="turn_completed", nth=3, after_s=0.1)]
    agent = Agent(
        tools=(Tool("slow", "A slow one.", {"type": "object"}, asyncio.Event().wait, 60, "NON_BLOCKING"),)
    )
    async with on_line(on_turn=starts_or_speaks, faults=faults, settings=QUICK, definition=agent) as line:
        for text in ("hello", "start", "two"):
            await line.hears(partial(line.caller.type, text))
        await line.counted("session-replaced", 1)
        await line.hears(lambda: line.caller.type("three"))
        second = line.emulator.sessions[1]
        assert list(second.texts) == ["three"]
        assert [text for content in second.contents for role, text in content.turns if role == "user"] == [
            "hello",
            "start",
            "two",
        ]
        assert line.count("bot-started-speaking") == 4
