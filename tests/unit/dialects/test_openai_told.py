"""What a client of OpenAI's API is told, as transcripts in tests/data/openai, and what holds for any order.

In a transcript ``*`` is an event of the call, ``@`` something that the client asked for, and ``<`` what it is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from signaling.dialects.openai.items import MAX_ITEMS, Items, message
from signaling.dialects.openai.told import Told

DATA = Path(__file__).parents[2] / "data" / "openai"
TRANSCRIPTS = sorted(DATA.glob("*.txt"))


def happened(line: str, told: Told, now_ms: int) -> list[dict[str, Any]]:
    """Tell what a line of a transcript says."""
    mark, name, *fields = line.split(" ", 2)
    given = json.loads(fields[0]) if fields else {}
    if mark == "*":
        return told.tell(getattr(events, name)(**given), now_ms)
    made = getattr(told, name)(**given) or []
    return made if isinstance(made, list) else [made]


def replayed(lines: list[str]) -> Iterator[str]:
    """Yield the transcript that the events of a transcript lead to."""
    told = Told()
    for number, line in enumerate(line for line in lines if line[:1] in ("*", "@")):
        yield line
        yield from (f"< {json.dumps(each)}" for each in happened(line, told, number * 1000))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_is_told_as_it_was(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert list(replayed(lines)) == lines


def test_there_are_transcripts() -> None:
    assert {path.stem for path in TRANSCRIPTS} >= {"answer", "interrupted", "function", "typed", "ended"}


GENERATIONS = st.integers(1, 3)
WORDS = st.sampled_from(["", "a", "a b", "a b c"])
TURNS = st.sampled_from(["t1", "t2"])
HAPPENINGS = st.one_of(
    st.builds(events.CallerStartedSpeaking),
    st.builds(events.CallerStoppedSpeaking),
    st.builds(events.CallerTranscribed, TURNS, st.just(1), WORDS, st.booleans(), st.booleans()),
    st.builds(events.GenerationStarted, GENERATIONS),
    st.builds(events.AgentTranscribed, TURNS, st.just(1), WORDS, st.booleans(), st.booleans()),
    st.builds(events.AgentStartedSpeaking, GENERATIONS),
    st.builds(events.AgentStoppedSpeaking, GENERATIONS),
    st.builds(events.AgentInterrupted, GENERATIONS, st.integers(0, 99_999), st.just(0)),
    st.builds(events.TurnCompleted, GENERATIONS, st.none()),
    st.just(events.UsageReported({"prompt": {"AUDIO": 9}, "response": {"TEXT": 2, "THOUGHTS": 1}}, None)),
    st.sampled_from(["asked", "goes_on", "expect", "cancelled", "called", "output"]),
)


def asked(told: Told, what: str) -> list[dict[str, Any]]:
    match what:
        case "asked" | "goes_on":
            return told.response_asked(goes_on=what == "goes_on") if told.responses.open is None else []
        case "cancelled":
            return told.response_cancelled() if told.responses.open is not None else []
        case "called":
            return told.function_called("call_1", "f", "{}")
        case "output":
            return told.output_created(told.items.new_id(), "call_1", "x")
        case _:
            told.expect_answer()
            return []


@given(st.lists(HAPPENINGS, max_size=40))
def test_responses_never_overlap_and_all_end(happenings: list[Any]) -> None:
    told, responding, ids = Told(), False, set[str]()
    added: set[str] = set()
    for each in [*happenings, events.CallEnded("hung_up", "", "caller")]:
        for event in asked(told, each) if isinstance(each, str) else told.tell(each, 5):
            assert event["event_id"] not in ids
            ids.add(event["event_id"])
            match event["type"]:
                case "response.created":
                    assert not responding
                    responding = True
                case "response.done":
                    assert responding
                    responding = False
                    used = event["response"]["usage"]
                    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"] >= 0
                    assert used["output_tokens"] == sum(used["output_token_details"].values())
                case "conversation.item.added":
                    assert event["item"]["id"] not in added
                    added.add(event["item"]["id"])
                case kind if kind.startswith("response."):
                    assert responding
            if "item_id" in event and not event["type"].startswith("input_audio_buffer"):
                assert event["item_id"] in added
    assert not responding


def test_of_a_long_call_the_newest_items_are_kept() -> None:
    items = Items()
    for number in range(MAX_ITEMS + 5):
        assert items.add(message(f"i{number}", "user", [], "completed")) == (f"i{number - 1}" if number else None)
    assert items.get("i4") is None
    assert items.get("i5") is not None
    items.remove(f"i{MAX_ITEMS + 4}")
    assert items.add(message("new", "user", [], "completed")) == f"i{MAX_ITEMS + 3}"
    assert items.new_id() not in items
