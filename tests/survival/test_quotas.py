"""Quotas that run out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.emulator.faults.kinds import Close, Fault, RefuseSetup, RefuseUpgrade
from tests.support.line import QUICK, on_line
from tests.survival.registry import survives


@survives(
    "quota is exceeded for a while when a session is to be replaced: HTTP 429, or 1011 at set-up",
    caller="an answer comes late; nothing is lost",
    events=("session-lost live", "session-replaced resumed"),
    log="a Live session ended, next: wait",
)
async def test_short_of_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.live.resumption.QUOTA_DELAY_S", 0.1)
    faults: list[Fault] = [
        Close(session=1, at="turn_completed", after_s=0.05),
        RefuseUpgrade(session=2),
        RefuseSetup(session=3),
        RefuseUpgrade(session=4),
    ]
    async with on_line(answer_s=0.3, faults=faults, settings=QUICK) as line:
        await line.hears()
        await line.hears()
        assert len(line.shifts_ms()) == 2
        assert line.heard_s() == pytest.approx([0.3] * 2, abs=0.03)
        tried_s = [session.connected_s for session in line.emulator.sessions]
        waits_s = [later - sooner for sooner, later in pairwise(tried_s[1:])]
        assert waits_s[0] >= 0.1
        assert waits_s[1] >= 0.2
        assert waits_s[2] >= 0.4


@survives(
    "quota is exceeded when the call begins, for good",
    caller="the call ends within `recovery_s`, and says why",
    events=("error", "call-ended"),
    log="ended: live_lost (fault: operator): The Live server's quota is used up (HTTP 429)",
    metric='talkspurt_calls_ended_total{reason="live_lost"}',
)
async def test_no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.live.resumption.QUOTA_DELAY_S", 0.1)
    async with on_line(faults=[RefuseUpgrade()], settings={"recovery_s": 0.6}, ready=False) as line:
        await line.counted("call-ended", 1, timeout_s=5)
        await line.caller.ended()
        (told,) = line.datas("error")
        assert (told["fatal"], told["reason"], told["fault"]) == (True, "live_lost", "operator")
        assert 2 <= len(line.emulator.sessions) <= 6


@survives(
    "quota is exceeded in the middle of a call, for good",
    caller="the call ends within `recovery_s`, and says why",
    events=("session-lost live", "session-lost operator", "error", "call-ended"),
    log="ended: live_lost (fault: operator): The Live server's quota is used up (1011)",
    metric='talkspurt_calls_ended_total{reason="live_lost"}',
)
async def test_no_quota_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.live.resumption.QUOTA_DELAY_S", 0.1)
    faults: list[Fault] = [Close(session=1, at="turn_completed"), RefuseSetup(session="resumed")]
    async with on_line(answer_s=0.3, faults=faults, settings={**QUICK, "recovery_s": 1.5}) as line:
        line.caller.type("hello")
        await line.counted("call-ended", 1, timeout_s=8)
        await line.caller.ended()
        (told,) = line.datas("error")
        assert (told["fatal"], told["reason"], told["fault"]) == (True, "live_lost", "operator")
