"""What an agent's file may ask for of its calls, and what it is told if that cannot work."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from agent import Agent
from agent.author.extract import extraction_of
from agent.errors import ConfigError
from agent.summary import UnfitError

NESTED = {
    "type": "object",
    "properties": {"who": {"$ref": "#/$defs/who"}},
    "required": ["who"],
    "$defs": {"who": {"type": "string", "pattern": "^[a-z]+$"}},
    "additionalProperties": False,
}


class Tree(BaseModel):
    inner: list[Tree] = []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"extract": Tree}, "contains itself"),
        ({"extract": {"type": "array"}}, "object"),
        ({"extract": {"type": "objekt"}}, "not a JSON schema"),
        ({"extract": {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}}, "none"),
        ({"extract": "Note"}, "pydantic model or a JSON schema"),
        ({"extract": int}, "object"),
        ({"summary": " "}, "summary="),
        ({"summary": 3}, "summary="),
        ({"on_call_summarised": lambda call, summarised: None}, "nothing is asked for"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        Agent(**told).summary_wish()


def test_nothing_is_asked_for_by_default() -> None:
    assert Agent().summary_wish() is None


def test_a_json_schema_is_checked_in_full_and_its_complaint_holds_no_value() -> None:
    extraction = extraction_of(NESTED)
    assert extraction.check({"who": "ann"}) == {"who": "ann"}
    odd: list[Any] = [{"who": "SECRET 1"}, {"who": 5}, {}, {"who": "ann", "more": "SECRET"}, [], None]
    for data in odd:
        with pytest.raises(UnfitError) as told:
            extraction.check(data)
        assert told.value.reason == "unfit"
        assert "SECRET" not in told.value.detail


def test_the_model_is_told_no_references() -> None:
    assert "$ref" not in str(extraction_of(NESTED).schema)


def test_a_reference_to_elsewhere_is_not_fetched() -> None:
    schema = {"type": "object", "not": {"$ref": "http://127.0.0.1:1/schema"}}
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as told:
        extraction_of(schema).check({})
    assert not isinstance(told.value, OSError)
