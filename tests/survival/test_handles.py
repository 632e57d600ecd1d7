"""Handles that do not work, and what the model is told instead."""

from __future__ import annotations

import pytest

from agent.author.agent import Agent
from agent.emulator import Say, Turn
from agent.emulator.faults.kinds import (
    Close,
    DropTcp,
    Fault,
    GoAway,
    PoisonHandle,
    RefuseHandle,
    RefuseNullHandle,
    RefuseResumeWhileOpen,
    WithholdHandles,
)
from agent.emulator.model import phrases
from tests.support.line import QUICK, Line, on_line
from tests.survival.registry import survives

TOLD = ("session-lost live", "session-replaced rebuilt", "context-rebuilt")


def fine(_turn: Turn) -> tuple[Say, ...]:
    return (Say(phrases.WELCOME),)


def told(line: Line, session: int) -> list[tuple[str, str]]:
    """Return the history that a session was given."""
    return [turn for content in line.emulator.sessions[session - 1].contents for turn in content.turns]


@survives(
    "the handle is refused: it is too old, or the server has lost the session",
    caller="nothing; the model knows the words of the call, no longer its sound",
    events=TOLD,
    log="a Live session ended, next: rebuild",
)
@survives(
    "the handle is poisoned: the session dies soon after it was resumed",
    caller="nothing; the model knows the words of the call, no longer its sound",
    events=TOLD,
    log="a Live session ended, next: rebuild",
)
@survives(
    "no handle is ever offered",
    caller="nothing; the model knows the words of the call, no longer its sound",
    events=TOLD,
)
async def test_bad_handles() -> None:
    faults: list[Fault] = [
        Close(session=1, at="turn_completed", after_s=0.05),
        RefuseHandle(session=2),
        Close(session=3, at="turn_completed", after_s=0.05),
        PoisonHandle(session=4, after_s=0.1),
        WithholdHandles(session=5),
        Close(session=5, at="turn_completed", after_s=0.05),
    ]
    async with on_line(on_turn=fine, faults=faults, settings=QUICK) as line:
        said: list[tuple[str, str]] = []
        for number, session in enumerate((3, 5, 6), 1):
            await line.hears(lambda: line.caller.type(f"question {number}"))  # noqa: B023
            said += [("user", f"question {number}"), ("model", phrases.WELCOME)]
            await line.counted("context-rebuilt", number)
            await line.emulator.wait_for(lambda: len(told(line, session)) > 0)  # noqa: B023
            assert told(line, session) == said
        resumed = [session.handle is not None for session in line.emulator.sessions]
        assert resumed == [False, True, False, True, False, False]
        assert [session.violations for session in line.emulator.sessions] == [[]] * 6


@survives("resuming is refused while the old connection is open", caller="nothing: it is closed before")
@survives("a set-up with an empty handle is refused", caller="nothing: none is sent")
async def test_particular_servers() -> None:
    faults = [RefuseNullHandle(), RefuseResumeWhileOpen(), GoAway(at="turn_completed", session=1, time_left_s=0.6)]
    async with on_line(answer_s=0.3, faults=faults, settings=QUICK) as line:
        await line.hears()
        await line.counted("session-replaced", 1)
        await line.hears()
        assert len(line.shifts_ms()) == len(line.emulator.sessions) == 2
        assert line.count("session-lost") == 0


@survives("the session is replaced after the greeting", caller="nothing: the agent greets once")
@survives("the session is lost in the middle of the greeting", caller="the greeting begins again")
async def test_one_greeting() -> None:
    faults: list[Fault] = [
        DropTcp(session=1, at="turn_started", after_s=0.2),
        Close(session=2, at="turn_completed", after_s=0.05),
        RefuseHandle(session=3),
    ]
    definition = Agent(greeting="Welcome.")
    async with on_line(answer_s=1.0, faults=faults, settings=QUICK, definition=definition) as line:
        await line.counted("session-replaced", 2)
        await line.counted("bot-stopped-speaking", 1)
        await line.hears()
        greeting, answer = line.heard_s()
        assert 1.0 < greeting < 1.8
        assert answer == pytest.approx(1.0, abs=0.03)


@survives(
    "the session is built afresh after the caller has cut the agent off",
    caller="nothing; the model is told what was heard, and not what was not",
    events=("bot-interrupted", "context-rebuilt"),
)
async def test_the_model_is_told_what_was_heard() -> None:
    faults: list[Fault] = [Close(session=1, at="turn_completed", nth=2, after_s=0.05), RefuseHandle(session=2)]
    async with on_line(on_turn=None, faults=faults, settings=QUICK) as line:
        line.caller.type("tell me a long story")
        await line.counted("bot-started-speaking", 1)
        heard = len(line.caller.heard)
        await line.caller.until(lambda: len(line.caller.heard) > heard + 50)
        await line.hears(lambda: line.caller.type("stop"), stops=2)
        await line.counted("context-rebuilt", 1)
        await line.emulator.wait_for(lambda: len(told(line, 3)) > 0)
        (cut,) = [
            message["data"]
            for message in line.caller.messages
            if message["type"] == "bot-output" and message["data"]["interrupted"]
        ]
        story = ("model", cut["text"])
        assert cut["text"] in " ".join(phrases.STORY)
        assert 0 < len(cut["text"].split()) < 12
        assert told(line, 3)[:2] == [("user", "tell me a long story"), story]
        assert cut["unheard_text"]
        assert not any(cut["unheard_text"] in text for _role, text in told(line, 3))


@survives(
    "the session is lost while a whole answer is being heard, before its turnComplete",
    caller="nothing: the answer is heard once; the model knows the words of the call, no longer its sound",
    events=("session-lost live", "session-replaced rebuilt", "context-rebuilt"),
)
async def test_an_answer_is_not_given_twice() -> None:
    lost = Close(session=1, at="turn_started", nth=2, after_s=0.3)
    async with on_line(on_turn=fine, faults=[lost], settings=QUICK, pace=50.0) as line:
        for number in (1, 2):
            await line.hears(lambda: line.caller.type(f"question {number}"))  # noqa: B023
        heard_s = line.heard_s()
        assert heard_s == pytest.approx(heard_s[:2] * 2, abs=0.03)  # two stretches each
        questions = [("user", "question 1"), ("user", "question 2")]
        assert told(line, 2) == [turn for question in questions for turn in (question, ("model", phrases.WELCOME))]
        assert [len(session.texts) for session in line.emulator.sessions] == [2, 0]
