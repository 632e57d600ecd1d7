"""Who owes an answer, through the real SDK: text counts as one, silence may be meant, nobody waits for long."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from agent import events
from agent.call import sessions as sessions_module
from agent.clock import monotonic
from agent.dialog.asides import GENTLE_NUDGE, NUDGE, NUDGE_TO_WRITE
from agent.emulator import CallFunction, HookedSession, Hooks, Play, Raw, Reply, Say, ServerMessage, Turn
from agent.emulator.faults.kinds import EmptyTurn, Stall
from agent.emulator.wire.outgoing import input_transcription
from agent.live import session as session_module
from agent.tools.declare import Behavior, Tool
from tests.support.line import VOICE_HZ
from tests.support.talk import Talk, calling
from tests.support.tones import tone
from tests.survival.registry import survives

FASTER = 8.0
WRITES = {"audio_output": False, "model": "offline-demo"}
NATIVE = "gemini-2.5-flash-native-audio-preview-12-2025"
PROACTIVE: tuple[dict[str, Any], ...] = ({}, {"model": NATIVE, "proactive_audio": True})
NUDGES = (NUDGE, NUDGE_TO_WRITE, GENTLE_NUDGE)
ANSWERS = ("audio", "outputTranscription", "generationComplete", "turnComplete", "interrupted")
VOICE = tone(VOICE_HZ, 16_000, 0.02)
QUIET = np.zeros(320, np.int16)


def fast() -> float:
    """A clock that runs `FASTER` than any other.

    A machine that is busy for a tenth of a second is late by most of one: what is measured here has room for that,
    and the exact limits are those of `tests/unit/dialog/test_watchdog.py`.
    """
    return monotonic() * FASTER


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog looks as often as ever by the fast clock."""
    monkeypatch.setattr("agent.call.sessions.WATCH_STEP_S", sessions_module.WATCH_STEP_S / FASTER)


async def pass_s(seconds: float) -> None:
    """Let so many seconds pass by the fast clock."""
    await asyncio.sleep(seconds / FASTER)


async def say(talk: Talk, seconds: float, *, then_quiet_s: float = 0.0) -> None:
    """Have the caller be heard, about as long by the fast clock."""
    for frame, length_s in ((VOICE, seconds), (QUIET, then_quiet_s)):
        for _ in range(round(length_s / 0.02)):
            talk.call.hear(frame)
            await pass_s(0.02)


def silences(talk: Talk) -> list[tuple[str, str]]:
    return [(event.cause, event.step) for event in talk.events if isinstance(event, events.AgentFellSilent)]


async def noticed(talk: Talk) -> float:
    """Wait until something is done about the silence; return when that was, by the fast clock."""
    await talk.until(events.AgentFellSilent)
    return fast()


def nudges(talk: Talk) -> list[int]:
    """How often each session was nudged."""
    return [sum(text in NUDGES for text in session.texts) for session in talk.emulator.sessions]


class Mute(Hooks):
    """The first sessions transcribe, and answer with nothing, not even the end of a turn."""

    def __init__(self, sessions: int = 99) -> None:
        self._sessions = sessions

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return None if message.kind in ANSWERS and session.record.number <= self._sessions else message


def transcribes_only(turn: Turn) -> Reply:
    return (Raw(input_transcription("hello?")),) if turn.voice_s else (Say("Yes."),)


# an agent that writes


async def test_a_text_answer_is_an_answer() -> None:
    async with calling(settings=WRITES, clock=fast, on_turn=lambda _turn: (Say("It is noon."),)) as talk:
        talk.call.type_text("what time is it")
        await talk.until(events.TurnCompleted)
        await pass_s(25)
        (session,) = talk.emulator.sessions
        assert session.sent_kinds["turnComplete"] == 1
        assert list(session.texts) == ["what time is it"]
        assert silences(talk) == []
        assert talk.said == ["It is noon."]
        assert talk.call.state == "listening"


async def test_a_text_agent_that_writes_nothing_is_nudged_to_write() -> None:
    faults = [EmptyTurn(turn=1)]
    async with calling(settings=WRITES, faults=faults) as talk:
        talk.call.type_text("who are you")
        await talk.until(events.TurnCompleted, 2)
        assert silences(talk) == [("empty_turn", "nudge")]
        assert list(talk.emulator.sessions[0].texts) == ["who are you", NUDGE_TO_WRITE]


def writes_and_waits(turn: Turn) -> Reply:
    return (Say("One two three."), CallFunction("slow", {})) if turn.text else ()


async def test_text_that_was_read_is_not_taken_back_by_an_interruption() -> None:
    async with calling(waiting("slow", seconds=0.3), settings=WRITES, on_turn=writes_and_waits) as talk:
        talk.call.type_text("count")
        await talk.until(events.ToolCalled)
        assert talk.call.interrupt()
        finals = [event for event in talk.events if isinstance(event, events.AgentTranscribed) and event.final]
        assert [(each.text, each.unheard_text, each.interrupted) for each in finals] == [
            ("One two three.", "", True)
        ]
        await talk.until(events.TurnCompleted)


class LostAtTheEnd(Hooks):
    """The first session is lost just before its turn is complete."""

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        if message.kind == "turnComplete" and session.record.number == 1:
            await asyncio.sleep(0.1)  # the client reads what came before
            session.abort()
            return None
        return message


async def test_a_whole_text_answer_is_not_given_again_by_the_next_session() -> None:
    async with calling(settings=WRITES, hooks=LostAtTheEnd) as talk:
        talk.call.type_text("who are you")
        await talk.until(events.SessionReplaced)
        await asyncio.sleep(0.3)
        assert len(talk.said) == 1


# a model that means to say nothing


@pytest.mark.parametrize("settings", PROACTIVE)
async def test_a_model_that_may_ignore_speech_is_not_made_to_speak(settings: dict[str, Any]) -> None:
    async with calling(settings=settings, clock=fast, on_turn=transcribes_only) as talk:
        await say(talk, 1.0, then_quiet_s=2.0)
        await talk.until(events.TurnCompleted)
        await pass_s(15)
        assert silences(talk) == []
        assert (nudges(talk), talk.call.conversation.unanswered) == ([0], 1)
        talk.call.type_text("and now?")
        await talk.until(events.AgentTranscribed)
        assert silences(talk) == []


async def test_other_models_are_asked_again() -> None:
    async with calling(settings={"model": NATIVE}, clock=fast, on_turn=transcribes_only) as talk:
        await say(talk, 1.0, then_quiet_s=2.0)
        await talk.until(events.TurnCompleted, 2)
        assert silences(talk) == [("empty_turn", "nudge")]
        assert (nudges(talk), talk.call.conversation.unanswered) == ([1], 0)


@pytest.mark.parametrize("settings", PROACTIVE)
async def test_a_typed_question_is_answered_by_any_model(settings: dict[str, Any]) -> None:
    async with calling(settings=settings, faults=[EmptyTurn(turn=1)]) as talk:
        talk.call.type_text("who are you")
        await talk.until(events.TurnCompleted, 2)
        assert silences(talk) == [("empty_turn", "nudge")]
        assert len(talk.said) == 1


def waiting(name: str, behavior: Behavior = "BLOCKING", seconds: float = 0.0, silent: bool = False) -> Tool:
    async def wait() -> str:
        await asyncio.sleep(seconds)
        return "done"

    empty = {"type": "object", "properties": {}}
    return Tool(name, "Waits.", empty, wait, behavior=behavior, scheduling="SILENT" if silent else None)


@pytest.mark.parametrize("seconds", [0.0, 0.1])
@pytest.mark.parametrize("behavior", ["BLOCKING", "NON_BLOCKING"])
async def test_silence_after_a_silent_tool_is_meant(behavior: Behavior, seconds: float) -> None:
    def calls(turn: Turn) -> Reply:
        return (CallFunction("wait_for_user", {}),) if turn.text else ()

    tool = waiting("wait_for_user", behavior, seconds, silent=True)
    async with calling(tool, on_turn=calls, clock=fast) as talk:
        talk.call.type_text("hold on a moment")
        await talk.until(events.ToolFinished)
        await talk.until(events.TurnCompleted)
        await pass_s(15)
        assert silences(talk) == []
        assert (nudges(talk), talk.call.conversation.unanswered) == ([0], 1)


async def test_silence_after_a_tool_that_has_an_answer_is_not() -> None:
    def calls(turn: Turn) -> Reply:
        return (
            (CallFunction("look", {}),)
            if turn.text == "what is it"
            else ()
            if turn.results
            else (Say("It is this."),)
        )

    async with calling(waiting("look"), on_turn=calls) as talk:
        talk.call.type_text("what is it")
        await talk.until(events.AgentTranscribed)
        assert silences(talk) == [("empty_turn", "nudge")]


async def test_no_session_is_nudged_twice() -> None:
    """The nudge that the first session has not answered is not sent again beside a new one."""
    async with calling(clock=fast, hooks=lambda: Mute(2)) as talk:
        talk.call.type_text("are you there")
        await talk.until(events.AgentTranscribed)
        assert silences(talk) == [("no_answer", "nudge"), ("no_answer", "resume"), ("no_answer", "rebuild")]
        assert nudges(talk) == [1, 1, 1]


# how long a caller waits


@pytest.mark.parametrize(
    ("settings", "least_s", "most_s"),
    [
        ({}, 6.0, 8.0),
        ({"model": "gemini-3.1-flash-live-preview"}, 6.0, 8.0),
        ({"model": "gemini-3.8-live-extended-thinking"}, 12.0, 15.0),
        ({"model": "gemini-3.8-live-extended-thinking", "answer_timeout_s": 3.0}, 3.0, 5.0),
    ],
)
async def test_a_caller_who_gets_no_answer(settings: dict[str, Any], least_s: float, most_s: float) -> None:
    async with calling(settings=settings, clock=fast, hooks=Mute) as talk:
        asked = fast()
        talk.call.type_text("are you there")
        assert least_s <= await noticed(talk) - asked <= most_s
        assert silences(talk) == [("no_answer", "nudge")]


@pytest.mark.parametrize("settings", [{}, {"model": NATIVE, "thinking_budget": 0}])
async def test_who_says_hello_again_and_again_does_not_hide_that_nobody_answers(settings: dict[str, Any]) -> None:
    async with calling(settings=settings, clock=fast, on_turn=transcribes_only, hooks=Mute) as talk:
        began = fast()
        waiting_for = asyncio.create_task(noticed(talk))
        while not waiting_for.done():
            await say(talk, 0.6, then_quiet_s=2.4)
        assert waiting_for.result() - began <= 10.5
        assert silences(talk)[0] == ("no_answer", "nudge")


@survives(
    "nothing at all comes from the server any more, while the caller goes on speaking",
    caller="the answer comes after 8 s",
    events=("agent-fell-silent", "session-replaced"),
    log="the agent is silent (no_message), next: resume",
)
@pytest.mark.parametrize("pause_s", [0.0, 2.4], ids=["without a pause", "hello every 3 s"])
@pytest.mark.parametrize("answer_timeout_s", [6.0, 60.0])
async def test_a_dead_server_is_noticed_whatever_the_caller_does(pause_s: float, answer_timeout_s: float) -> None:
    settings = {"answer_timeout_s": answer_timeout_s, "vad_silence_ms": 100}
    faults = [Stall(session=1, at="turn_completed")]
    voice = (Play(tone(VOICE_HZ, 24_000, 0.1)),)
    async with calling(settings=settings, clock=fast, faults=faults, on_turn=lambda _turn: voice) as talk:
        talk.call.type_text("hello")
        await talk.until(events.TurnCompleted)
        began = fast()
        waiting_for = asyncio.create_task(noticed(talk))
        while not waiting_for.done():
            await say(talk, 0.6 if pause_s else 0.2, then_quiet_s=pause_s)
        assert waiting_for.result() - began <= 9.5
        await talk.until(events.SessionReplaced)
        await say(talk, 0.0, then_quiet_s=3.0)
        await talk.emulator.wait_for(lambda: talk.emulator.sessions[1].sent_kinds["turnComplete"] > 0)


async def test_a_server_that_answers_pings_is_not_dead() -> None:
    settings = {"answer_timeout_s": 60.0, "ping_interval_s": 2.0 / FASTER}
    async with calling(settings=settings, clock=fast, faults=[Stall(at="ready", what="send")]) as talk:
        for _ in range(4):
            await say(talk, 1.0, then_quiet_s=2.0)
        assert silences(talk) == []
        assert talk.call.live.pulse.slowest_pong_s > 0


async def test_a_server_that_reads_nothing_but_goes_on_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to it fills every buffer on the way."""
    assert session_module.SEND_TIMEOUT_S * 1.25 <= 8.0
    monkeypatch.setattr(session_module, "SEND_TIMEOUT_S", 0.4)
    async with calling(faults=[Stall(session=1, at="ready", what="read")]) as talk:
        for _ in range(8):
            talk.call.type_text("x" * (4 << 20))
        await talk.until(events.SessionLost)
        (lost,) = [event for event in talk.events if isinstance(event, events.SessionLost)]
        assert lost.detail == "the Live server has stopped reading"
        await talk.until(events.SessionReplaced)  # the first one never learns that it was left
