"""Answers that go wrong: silence, odd messages, interruptions, pace."""

from __future__ import annotations

import asyncio

import pytest

from agent.emulator import HookedSession, Hooks, Play, Raw, ServerMessage, Turn
from agent.emulator.faults.kinds import (
    AudioWithInterrupted,
    ChangedPace,
    DelayFirstAudio,
    DropTcp,
    DuplicateTurnComplete,
    EmptyTurn,
    FinishedFlags,
    HugeMessage,
    LateChunks,
    SilentSpeech,
    UnknownMessage,
)
from agent.emulator.wire.outgoing import input_transcription
from tests.support.line import VOICE_HZ, on_line
from tests.support.tones import tone
from tests.survival.registry import survives

QUICK = {"vad_silence_ms": 200, "close_timeout_s": 0.2}
LATE_HZ = 1800.0
ANSWERS = ("audio", "generationComplete", "turnComplete", "interrupted")


class Mute(Hooks):
    """The first sessions answer with nothing, not even the end of a turn."""

    def __init__(self, sessions: int) -> None:
        self._sessions = sessions

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return None if message.kind in ANSWERS and session.record.number <= self._sessions else message


@survives(
    "a turn completes with nothing in it, with `RESPONSE_REJECTED` or without a reason",
    caller="the answer comes at once, after the model was asked again",
    events=("agent-fell-silent nudge",),
    log="the agent is silent (empty_turn), next: nudge",
)
@survives(
    "the model's speech cannot be heard",
    caller="an answer that can be heard follows it",
    events=("agent-fell-silent nudge",),
    log="the agent is silent (inaudible), next: nudge",
)
async def test_turns_without_sound() -> None:
    faults = [EmptyTurn(turn=1), EmptyTurn(turn=3, reason="RESPONSE_REJECTED"), SilentSpeech(turn=5, amplitude=3)]
    async with on_line(answer_s=0.3, faults=faults) as line:
        for stops in (1, 1, 2):
            await line.hears(lambda: line.caller.type("are you there"), stops=stops)
        assert line.heard_s() == pytest.approx([0.3] * 3, abs=0.03)
        silences = [(said["cause"], said["step"], said["reason"]) for said in line.datas("agent-fell-silent")]
        assert silences == [
            ("empty_turn", "nudge", None),
            ("empty_turn", "nudge", "RESPONSE_REJECTED"),
            ("inaudible", "nudge", None),
        ]


@survives(
    "the model completes a turn with nothing in it, to speech that it may ignore by its settings",
    caller="nothing: it is not made to speak",
    metric="talkspurt_left_unanswered_total",
)
async def test_silence_that_is_meant() -> None:
    def ignores(turn: Turn) -> tuple[Raw | Play, ...]:
        heard = Raw(input_transcription("and then I said to her"))
        return (heard,) if turn.voice_s else (Play(tone(VOICE_HZ, 24_000, 0.3)),)

    async with on_line(on_turn=ignores, settings=QUICK) as line:
        await line.ask()
        await line.emulator.wait_for(lambda: line.emulator.sessions[0].sent_kinds["turnComplete"] == 1)
        await line.counted("user-stopped-speaking", 1)
        await asyncio.sleep(0.6)
        await line.hears(lambda: line.caller.type("are you there"))
        assert line.heard_s() == pytest.approx([0.3], abs=0.03)
        assert line.count("agent-fell-silent") == 0
        assert list(line.emulator.sessions[0].texts) == ["are you there"]


@survives(
    "the model does not answer, and not when its session is resumed either",
    caller="the answer comes after three times `answer_timeout_s`",
    events=(
        "agent-fell-silent nudge",
        "agent-fell-silent resume",
        "agent-fell-silent rebuild",
        "session-replaced rebuilt",
    ),
    log="the agent is silent (no_answer), next: rebuild",
)
async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.call.sessions.WATCH_STEP_S", 0.1)
    settings = {**QUICK, "answer_timeout_s": 0.4}
    async with on_line(answer_s=0.3, settings=settings, hooks=lambda: Mute(2)) as line:
        await line.hears(lambda: line.caller.type("are you there"))
        # The nudge may cut off the first syllable of what follows the question.
        await line.caller.until(lambda: line.heard_s()[-1] == pytest.approx(0.3, abs=0.03))
        assert [said["step"] for said in line.datas("agent-fell-silent")] == ["nudge", "resume", "rebuild"]


@survives(
    "the model never answers",
    caller="is told so, after four times `answer_timeout_s`; the call goes on",
    events=("agent-fell-silent apologise",),
    log="the agent is silent (no_answer), next: apologise",
)
async def test_never_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.call.sessions.WATCH_STEP_S", 0.1)
    settings = {**QUICK, "answer_timeout_s": 0.4}
    async with on_line(settings=settings, hooks=lambda: Mute(99)) as line:
        line.caller.type("are you there")
        await line.told("agent-fell-silent", step="apologise")
        sessions = len(line.emulator.sessions)
        await asyncio.sleep(0.5)
        assert line.count("agent-fell-silent") == 4
        assert len(line.emulator.sessions) == sessions == 3


@survives("the model thinks for some seconds", caller="the answer comes that much later, once")
@survives(
    "the model thinks for longer than `answer_timeout_s`",
    caller="an answer after that time, once",
    events=("agent-fell-silent nudge",),
    log="the agent is silent (no_answer), next: nudge",
)
async def test_late_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.call.sessions.WATCH_STEP_S", 0.1)
    faults = [DelayFirstAudio(turn=1, delay_s=0.35), DelayFirstAudio(session=1, turn=2, delay_s=30.0)]
    async with on_line(answer_s=0.3, faults=faults, settings={**QUICK, "answer_timeout_s": 0.7}) as line:
        await line.hears(lambda: line.caller.type("one"))
        assert line.count("agent-fell-silent") == 0
        await line.hears(lambda: line.caller.type("two"))
        assert line.heard_s() == pytest.approx([0.3] * 2, abs=0.03)


@survives("turnComplete comes twice, transcripts are finished twice or not at all", caller="nothing")
@survives(
    "the server sends messages that the SDK does not know",
    caller="nothing",
    log="skipped a message of the Live server",
    metric="talkspurt_unreadable_messages_total",
)
@survives("the server sends a message of more than 1 MiB", caller="nothing")
async def test_odd_messages() -> None:
    odd = {"serverContent": {"modelTurn": {"parts": "none"}}}
    faults = [
        DuplicateTurnComplete(turn=1),
        FinishedFlags(turn=1),
        UnknownMessage(at="turn_started", nth="every"),
        UnknownMessage(at="turn_started", nth="every", after_s=0.1, body=odd),
        HugeMessage(at="turn_started", nth=2, after_s=0.1),
    ]
    async with on_line(answer_s=0.4, faults=faults, settings=QUICK) as line:
        for _ in range(2):
            await line.hears(lambda: line.caller.type("hello"))
        assert line.heard_s() == pytest.approx([0.4] * 2, abs=0.03)
        assert line.count("session-lost") == line.count("agent-fell-silent") == 0


@survives(
    "sound in the message that says `interrupted`, and after it",
    caller="the agent stops, and is not heard again until it answers",
    events=("bot-interrupted",),
    metric="talkspurt_dropped_seconds_total",
)
async def test_sound_of_a_turn_that_was_cut() -> None:
    faults = [AudioWithInterrupted(tone_hz=LATE_HZ), LateChunks(tone_hz=LATE_HZ)]
    async with on_line(answer_s=1.0, faults=faults, settings=QUICK) as line:
        await line.ask()
        await line.counted("bot-started-speaking", 1)
        await asyncio.sleep(0.3)
        await line.hears(stops=2)
        assert not line.has_heard(LATE_HZ)
        cut, answer = line.heard_s()
        assert cut < 0.9
        assert answer == pytest.approx(1.0, abs=0.03)


@survives(
    "sound of a turn that was cut comes after its turnComplete",
    caller="hears it: nothing tells it from the next answer, which is heard whole",
    events=("bot-interrupted",),
)
async def test_sound_after_turn_complete() -> None:
    late = LateChunks(tone_hz=LATE_HZ, after="turn_complete")
    async with on_line(answer_s=1.0, faults=[late], settings=QUICK) as line:
        await line.ask()
        await line.counted("bot-started-speaking", 1)
        await asyncio.sleep(0.3)
        await line.hears(stops=3)
        assert line.has_heard(LATE_HZ)
        assert line.heard_s()[-1] == pytest.approx(1.0, abs=0.03)


@survives("the model speaks no faster than it is heard", caller="nothing: there is no gap")
@survives("the model speaks more slowly than it is heard", caller="gaps, but every word")
async def test_paces() -> None:
    faults = [
        ChangedPace(session=1, times_real_time=1.0),
        DropTcp(session=1, at="turn_completed", nth=2),
        ChangedPace(session=2, times_real_time=0.8),
    ]
    async with on_line(answer_s=0.8, faults=faults, settings=QUICK) as line:
        await line.hears(lambda: line.caller.type("one"))
        await line.hears(lambda: line.caller.type("two"))
        even = len(line.heard_s())
        await line.counted("session-replaced", 1)
        line.caller.type("three")
        await line.emulator.wait_for(lambda: line.emulator.sessions[1].sent_kinds["turnComplete"] == 1)
        await asyncio.sleep(0.3)
        assert line.heard_s()[:even] == pytest.approx([0.8] * 2, abs=0.03)
        assert sum(line.heard_s()[even:]) == pytest.approx(0.8, abs=0.15)
