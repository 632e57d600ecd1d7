"""Nothing that was not checked is ever done."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from agent import Agent
from agent.call.summary import Summariser
from agent.dialog.prices import KNOWN
from agent.live.session import LiveClient
from agent.live.summary import Answer, wanted_pause_s
from agent.summary import MAX_SUMMARY_CHARS, CallSummarised


class Note(BaseModel):
    wants: Literal["table", "taxi"]
    people: int = Field(ge=1, le=20)
    day: date | None = None

    @field_validator("people")
    @classmethod
    def _no_thirteen(cls, people: int) -> int:
        if people == 13:
            raise LookupError("the words of SECRET")  # an agent's own code may raise anything
        return people


def summariser(**told: Any) -> Summariser:
    wish = Agent(**told).summary_wish()
    assert wish is not None
    return Summariser(cast("LiveClient", None), wish, "m", KNOWN)


BOTH = summariser(summary=True, extract=Note)
BY_SCHEMA = summariser(extract=Note.model_json_schema())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 25) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["wants", "people", "day", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
NOTES = st.fixed_dictionaries(
    {"wants": st.sampled_from(["table", "taxi", "tea"]) | JSON, "people": st.integers(-1, 22) | JSON},
    optional={"day": st.sampled_from(["2026-01-31", "2026-02-31", None, ""])},
)
ANSWERS = st.fixed_dictionaries({}, optional={"summary": JSON | st.just("ok"), "data": NOTES | JSON})
TEXTS = st.text(max_size=20) | st.builds(json.dumps, ANSWERS | JSON)


def told(summarised: CallSummarised) -> tuple[Any, ...]:
    return summarised.state, summarised.reason, summarised.summary, summarised.data


def answered(**parts: Any) -> Answer:
    return Answer(json.dumps(parts))


@given(TEXTS)
def test_what_is_done_was_checked(text: str) -> None:
    found = BOTH.judge("c1", Answer(text))
    if found.state == "done":
        assert found.reason is None
        assert found.summary
        assert Note.model_validate(found.data).model_dump(mode="json") == found.data
        json.dumps(found.data, allow_nan=False)
    else:
        assert (found.summary, found.data) == (None, None)
        assert found.reason
        assert found.detail


@given(TEXTS)
def test_what_is_done_by_a_json_schema_is_what_the_model_said(text: str) -> None:
    found = BY_SCHEMA.judge("c1", Answer(text))
    if found.state == "done":
        assert found.data == json.loads(text)["data"]
        assert isinstance(found.data["people"], int)
        assert found.data["wants"] in ("table", "taxi")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(""), "empty"),
        (Answer("   "), "empty"),
        (Answer("Here: {}"), "not_json"),
        (Answer('{"summary": "s", "data": {"wants": "taxi", "people": NaN}}'), "not_json"),
        (Answer("[" * 5000), "not_json"),
        (Answer("[]"), "unfit"),
        (answered(data={"wants": "taxi", "people": 2}), "unfit"),
        (answered(summary="s"), "unfit"),
        (answered(summary=" ", data={"wants": "taxi", "people": 2}), "unfit"),
        (answered(summary="s" * (MAX_SUMMARY_CHARS + 1), data={"wants": "taxi", "people": 2}), "unfit"),
        (answered(summary="s", data={"wants": "tea", "people": 2}), "unfit"),
        (answered(summary="s", data=None), "unfit"),
        (answered(summary="s", data={"wants": "taxi", "people": 13}), "check_failed"),
        (Answer(None, "refused", "It was SAFETY."), "refused"),
        (Answer(None), "empty"),
    ],
)
def test_what_does_not_fit_has_failed(answer: Answer, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    assert told(BOTH.judge("c1", answer)) == ("failed", reason, None, None)
    assert "SECRET" not in caplog.text


def test_what_fits_is_done() -> None:
    found = BOTH.judge("c1", answered(summary=" A table. ", data={"wants": "table", "people": "4", "extra": 1}))
    assert told(found) == ("done", None, "A table.", {"wants": "table", "people": 4, "day": None})


@pytest.mark.parametrize(
    ("details", "pause_s"),
    [
        (
            {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}]}},
            3.5,
        ),
        ({"error": {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "-3s"}]}}, 0),
        ({"error": {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "infs"}]}}, 0),
        ({"error": {"details": [{"@type": "x/google.rpc.RetryInfo"}, 5]}}, 0),
        ({"error": {"details": 5}}, 0),
        ({"error": "busy"}, 0),
        ("busy", 0),
        (None, 0),
    ],
)
def test_a_server_may_say_how_long_to_wait(details: Any, pause_s: float) -> None:
    assert wanted_pause_s(details) == pause_s
