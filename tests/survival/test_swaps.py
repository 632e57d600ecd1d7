"""Sessions that are replaced: what the model hears and what the caller hears meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from agent.emulator.faults.kinds import DropTcp, ForgetContext, GoAway
from tests.support.line import on_line, talkspurts_s
from tests.survival.registry import survives


@survives(
    "goAway, twenty times in a call",
    caller="nothing: no word is lost or doubled, no gap is heard",
    events=("session-ending", "session-replaced resumed"),
)
async def test_twenty_swaps() -> None:
    """No speech of the caller is lost or doubled, and no answer has a gap."""
    swaps = 20
    async with on_line(answer_s=0.6, faults=[GoAway(after_s=0.6, time_left_s=2.0)], await_playback=False) as line:
        while line.count("session-replaced") < swaps:
            await line.ask()
            await asyncio.sleep(1.25)
        await line.ask()
        await asyncio.sleep(1.5)
        shifts = line.shifts_ms()
        spurts = talkspurts_s(line.caller.heard_pcm(), line.caller.heard_rate_hz)
        assert max(map(abs, shifts)) < 1.0
        assert len(spurts) == len(line.asked_s)
        assert min(spurts) == pytest.approx(0.6, abs=0.03)
        assert line.count("session-lost") == line.count("context-rebuilt") == 0
        assert [session.violations for session in line.emulator.sessions] == [[]] * len(line.emulator.sessions)


@survives(
    "the session is resumed, but the model has forgotten the call",
    caller="one answer that knows nothing; then the model has been told what was said",
    events=("context-lost", "context-rebuilt", "session-replaced rebuilt"),
)
async def test_a_context_that_was_forgotten_is_told_again() -> None:
    """Resuming is accepted, but the model knows nothing: the length of its context gives it away."""
    faults = [DropTcp(at="turn_completed", nth=3, session=1), ForgetContext(session=2)]
    async with on_line(on_turn=None, faults=faults, pace=50, await_playback=False) as line:
        for count in range(3):
            line.caller.type(f"question {count} " + "with many words " * 20)
            await line.caller.until(lambda: line.emulator.sessions[0].sent_kinds["turnComplete"] > count)  # noqa: B023
        assert (await line.told("session-replaced"))["resumed"] is True
        line.caller.type("do you remember")
        await line.told("context-lost")
        assert (await line.told("context-rebuilt"))["turns"] == 8
        assert [session.handle is not None for session in line.emulator.sessions] == [False, True, False]


@survives(
    "goAway when the caller has said nothing for longer than what is kept to be sent again",
    caller="nothing",
    events=("session-ending", "session-replaced resumed"),
)
async def test_a_silent_caller_does_not_keep_a_session_to_its_deadline() -> None:
    """Only silence is forgotten: the session is left at once, and not when the caller may have begun to speak."""
    faults = [GoAway(after_s=6.5, time_left_s=4.0, session=1)]
    async with on_line(answer_s=0.2, faults=faults, pace=50, await_playback=False) as line:
        line.caller.type("hello")
        await line.told("session-replaced", resumed=True)
        first = line.emulator.sessions[0]
        assert first.ended_s is not None
        assert first.ready_s is not None
        assert 6.0 < first.ended_s - first.ready_s < 8.5  # its deadline is at 9.5
