"""Sessions that end: goAway, lost connections, servers that stop."""

from __future__ import annotations

import asyncio

import pytest

from agent.emulator.faults.kinds import Close, DropTcp, Fault, GoAway, RefuseUpgrade, SlowPong, Stall
from tests.support.line import QUICK, on_line
from tests.survival.registry import survives

CODES = (1000, 1001, 1007, 1008, 1011, 1012, 1013)
CROSSED_MS = 301  # what may be sent twice because it crossed with the handle, and a chunk of silence
DEADLINE = "Deadline expired before operation could complete."


@survives(
    "goAway while nobody speaks",
    caller="nothing",
    events=("session-ending", "session-replaced resumed"),
    log="a Live session was left on purpose, next: resume",
    metric="talkspurt_sessions_total",
)
@survives(
    "goAway while the agent speaks",
    caller="nothing: the sentence is heard to its end, then the session is replaced",
    events=("session-ending", "session-replaced resumed"),
    log="a Live session was left on purpose, next: resume",
)
@survives(
    "goAway while the caller speaks",
    caller="nothing: the answer comes first, then the session is replaced",
    events=("session-ending", "session-replaced resumed"),
    log="a Live session was left on purpose, next: resume",
)
async def test_go_away() -> None:
    faults = [
        GoAway(session=1, at="turn_completed", after_s=0.1, time_left_s=0.7),
        GoAway(session=2, at="turn_started", after_s=0.2, time_left_s=3.0),
        GoAway(session=3, at="speech_started", time_left_s=3.0),
    ]
    async with on_line(answer_s=0.4, faults=faults, settings=QUICK) as line:
        for swaps in (1, 2, 3):
            await line.hears()
            await line.counted("session-replaced", swaps)
        await line.hears()
        assert max(map(abs, line.slips_ms())) < CROSSED_MS
        assert line.heard_s() == pytest.approx([0.4] * 4, abs=0.03)
        assert line.count("session-lost") == 0
        assert [session.violations for session in line.emulator.sessions] == [[]] * 4
        assert [session.close_code for session in line.emulator.sessions] == [None] * 4


@survives(
    "goAway, and then not a word from the server",
    caller="the answer comes a little later, after the server's time is over",
    events=("session-ending", "session-replaced resumed"),
    log="a Live session was left on purpose, next: resume",
    metric="talkspurt_replayed_seconds_total",
)
async def test_go_away_and_silence() -> None:
    silent = GoAway(session=1, at="turn_started", nth=2, time_left_s=0.6, then="silent")
    async with on_line(answer_s=0.6, faults=[silent], settings=QUICK) as line:
        await line.hears()
        await line.hears(stops=2)
        assert max(map(abs, line.slips_ms())) < CROSSED_MS
        assert line.heard_s()[-1] == pytest.approx(0.6, abs=0.03)


@survives(
    "the server closes (1000, 1001, 1007, 1008, 1011, 1012, 1013) or drops the connection while nobody speaks",
    caller="nothing",
    events=("session-lost live", "session-lost network", "session-replaced resumed"),
    log="a Live session ended, next: resume",
    metric="talkspurt_outage_seconds_total",
)
async def test_losses_while_idle() -> None:
    faults: list[Fault] = [
        Close(session=number, at="turn_completed", after_s=0.05, code=code) for number, code in enumerate(CODES, 1)
    ]
    faults.append(DropTcp(session=len(CODES) + 1, at="turn_completed", after_s=0.05))
    async with on_line(answer_s=0.1, faults=faults, settings=QUICK) as line:
        for losses in range(1, len(faults) + 1):
            await line.hears(None if losses % 3 == 0 else lambda: line.caller.type("hello"))
            await line.counted("session-replaced", losses)
        await line.hears()
        assert max(map(abs, line.slips_ms())) < 3 * CROSSED_MS
        assert line.heard_s() == pytest.approx([0.1] * (len(faults) + 1), abs=0.03)
        assert line.count("context-rebuilt") == line.count("context-lost") == 0


@survives(
    "the server closes, or drops the connection, in the middle of an answer",
    caller="the answer begins again",
    events=("session-lost live", "session-lost network", "session-replaced resumed"),
    log="a Live session ended, next: resume",
)
@survives(
    "the server closes while the caller speaks",
    caller="nothing: what was said is sent again, and answered",
    events=("session-lost live", "session-replaced resumed"),
    metric="talkspurt_replayed_seconds_total",
)
async def test_losses_in_mid_answer() -> None:
    faults: list[Fault] = [
        Close(session=1, at="turn_started", nth=2, after_s=0.1, reason=DEADLINE),
        DropTcp(session=2, at="turn_started", nth=2, after_s=0.1),
        Close(session=3, at="speech_started", nth=2, after_s=0.1, code=1000),
    ]
    async with on_line(answer_s=0.5, faults=faults, settings=QUICK) as line:
        await line.hears()
        for losses in (1, 2, 3):
            await line.hears()
            await line.counted("session-replaced", losses)
        assert max(map(abs, line.slips_ms())) < CROSSED_MS
        first, *again, last = line.heard_s()
        assert first == last == pytest.approx(0.5, abs=0.03)
        assert all(0.5 < answer < 1.0 for answer in again)


@survives(
    "the server stops sending, reading, or both, and keeps the connection",
    caller="the answer comes after `answer_timeout_s`",
    events=("agent-fell-silent resume", "session-replaced resumed"),
    log="the agent is silent (no_message), next: resume",
)
async def test_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.call.sessions.WATCH_STEP_S", 0.1)
    faults = [
        Stall(session=1, at="turn_completed", what="read"),
        Stall(session=2, at="turn_started", nth=2, what="send"),
        Stall(session=3, at="turn_started", nth=2, what="both"),
    ]
    settings = {**QUICK, "answer_timeout_s": 0.4, "input_transcription": False}
    async with on_line(answer_s=0.3, faults=faults, settings=settings) as line:
        await line.hears()
        for stalls in (1, 2, 3):
            await line.hears(None if stalls == 1 else lambda: line.caller.type("hello"))
            await line.counted("session-replaced", stalls)
        assert line.heard_s() == pytest.approx([0.3] * 4, abs=0.03)
        assert len(line.shifts_ms()) == 2  # what was said to the dead connection arrived, once


@survives("pings are answered as late as half of `ping_timeout_s`", caller="nothing")
@survives(
    "pings are not answered",
    caller="nothing, once `ping_timeout_s` is over",
    events=("session-lost network", "session-replaced resumed"),
    log="next: resume",
)
async def test_pings() -> None:
    settings = {**QUICK, "ping_interval_s": 0.1, "ping_timeout_s": 0.8}
    faults = [SlowPong(delay_s=0.4), SlowPong(session=1, at="turn_completed", nth=2, delay_s=None)]
    async with on_line(answer_s=0.3, faults=faults, settings=settings) as line:
        await line.hears()
        await asyncio.sleep(0.5)
        assert line.count("session-lost") == 0
        await line.hears(lambda: line.caller.type("hello"))
        await line.counted("session-replaced", 1)
        await line.hears()
        assert line.heard_s() == pytest.approx([0.3] * 3, abs=0.03)


@survives(
    "no session for some seconds while the caller speaks",
    caller="no word is lost; the answer comes as soon as there is a session",
    events=("session-lost network", "session-replaced resumed"),
    metric="talkspurt_outage_seconds_total",
)
@survives(
    "no session while what the agent has said is still being heard",
    caller="nothing: it is heard to its end, without a gap",
    events=("session-lost network",),
)
async def test_an_outage() -> None:
    faults: list[Fault] = [
        DropTcp(session=1, at="turn_completed", nth=2),
        *(RefuseUpgrade(session=number, status=503) for number in (2, 3, 4)),
    ]
    async with on_line(answer_s=0.9, faults=faults, settings=QUICK, pace=50.0, await_playback=False) as line:
        await line.hears()
        await line.ask()
        await line.counted("session-lost", 1)
        spoken_over = line.count("session-replaced")
        await line.ask()
        await asyncio.sleep(0.3)
        await line.ask()
        assert spoken_over == line.count("session-replaced") == 0
        await line.counted("session-replaced", 1)
        await line.counted("bot-stopped-speaking", 3)
        await asyncio.sleep(0.2)
        assert len(line.shifts_ms()) == 4
        assert max(map(abs, line.slips_ms())) < CROSSED_MS
        assert line.heard_s()[1] == pytest.approx(0.9, abs=0.03)


@survives(
    "the server cannot be reached for some seconds when the call begins",
    caller="the agent is ready that much later; what was said until then is answered",
    log="a Live session ended, next: resume",
)
async def test_a_server_that_is_down_at_first() -> None:
    async with on_line(answer_s=0.3, settings=QUICK, ready=False, down_s=1.2) as line:
        await line.ask()
        assert line.count("bot-ready") == 0
        await line.hears(lambda: None)
        assert line.count("bot-ready") == 1
        assert len(line.shifts_ms()) == 1


@survives(
    "the server cannot be reached at all",
    caller="the call ends within `recovery_s`, and says why",
    events=("error", "call-ended"),
    log="ended: live_lost (fault: network): The Live server cannot be reached",
    metric='talkspurt_calls_ended_total{reason="live_lost"}',
)
async def test_a_server_that_is_down() -> None:
    async with on_line(settings={"recovery_s": 0.5}, ready=False, down_s=60.0) as line:
        await line.counted("call-ended", 1, timeout_s=5)
        await line.caller.ended()
        (told,) = line.datas("error")
        assert (told["fatal"], told["reason"], told["fault"]) == (True, "live_lost", "network")
        assert line.count("bot-ready") == 0
