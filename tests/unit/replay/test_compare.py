"""What differs between a call and its replay is found, and named."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent.replay.compare import compare
from agent.replay.encode import Line


def rtp(at: float, number: int) -> Line:
    return [at, "rtp", [111, 0, number, number * 960, 7, base64.b64encode(b"voice").decode()], at]


def event(at: float, kind: str, **told: Any) -> Line:
    return [at, "event", kind, told]


CALL: list[Line] = [
    rtp(10.0, 1),
    [10.0, "pcm", 320, 1],
    rtp(10.02, 2),
    [10.02, "pcm", 320, 2],
    event(10.5, "AgentResponded", generation=1, response_ms=500),
    event(10.6, "AgentTranscribed", text="hello", final=True),
    [10.7, "sent", "Note", {"text": "hurry"}],
    [10.7, "sent", "Audio", {"samples": 320}],
]


def changed(index: int, note: Line) -> list[Line]:
    return [*CALL[:index], note, *CALL[index + 1 :]]


def test_the_same_is_the_same() -> None:
    found = compare(CALL, CALL)
    assert found.same
    assert found.report() == "identical: 2 frames of the caller's voice, 2 events"


@pytest.mark.parametrize(
    ("replayed", "words"),
    [
        (
            changed(3, [10.02, "pcm", 320, 3]),
            "from frame 1 on, 0.02 s into it; .* sequence number 2, timestamp 1920",
        ),
        (changed(1, [10.0, "pcm", 160, 1]), "from frame 0 on, .* sequence number 1,"),
        (CALL[:3], "from frame 1 on"),
        ([*CALL, [11.0, "pcm", 320, 9]], "3 frames in the replay, 2 in the call"),
        (changed(4, event(10.5, "AgentResponded", generation=1, response_ms=561)), "response_ms=561"),
        (
            changed(5, event(10.6, "AgentTranscribed", text="hullo", final=True)),
            r"0\.600 s AgentTranscribed text='hello'",
        ),
        (changed(5, event(10.6, "AgentTranscribed", text="hello")), "AgentTranscribed"),
        (CALL[:5] + CALL[6:], "AgentTranscribed"),
        (changed(6, [10.7, "sent", "Note", {"text": "wait"}]), "is told something else"),
    ],
)
def test_what_differs_is_named(replayed: list[Line], words: str) -> None:
    found = compare(CALL, replayed)
    assert not found.same
    assert len(found.differences) <= 3
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        raise AssertionError(found.report())


@pytest.mark.parametrize(
    "replayed",
    [
        changed(4, event(10.5, "AgentResponded", generation=1, response_ms=559)),
        changed(7, [10.7, "sent", "Audio", {"samples": 640}]),
        [*CALL, event(10.9, "PictureSent", source="camera")],
    ],
)
def test_what_no_replay_can_repeat_is_no_difference(replayed: list[Line]) -> None:
    assert compare(CALL, replayed).same


def test_other_trouble_is_a_difference() -> None:
    assert compare(CALL, CALL, ["it stands still"]).report() == "it stands still"
