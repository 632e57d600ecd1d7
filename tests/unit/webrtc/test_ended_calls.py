"""Ended calls are remembered for a minute, up to a fixed number."""

from __future__ import annotations

import pytest

from signaling.webrtc import ended
from signaling.webrtc.ended import ENDED_KNOWN_S, EndedCalls


def test_a_call_is_known_for_a_minute_after_its_end() -> None:
    over = EndedCalls()
    assert not over.knows("rtc_1", 10.0)
    over.note("rtc_1", 10.0)
    assert over.knows("rtc_1", 10.0)
    assert over.knows("rtc_1", 9.9 + ENDED_KNOWN_S)
    assert not over.knows("rtc_1", 10.0 + ENDED_KNOWN_S)
    assert not over.knows("rtc_2", 10.0)


def test_only_so_many_are_remembered_and_none_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended, "MAX_ENDED_KNOWN", 3)
    over = EndedCalls()
    for number in range(4):
        over.note(str(number), 1.0)
    assert [over.knows(str(number), 1.0) for number in range(4)] == [False, True, True, True]
    over.note("later", 1.0 + ENDED_KNOWN_S)
    assert len(over._ended_at) == 1
