"""Any text that comes in can be sent on as UTF-8, and valid text is not changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.unicode import read_json, valid_json, valid_text

ANY_TEXT = st.text(st.characters(categories=None) | st.sampled_from("\ud83d\ude00\udc80a"), max_size=12)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("", ""),
        ("plain", "plain"),
        ("Grüße 😀 \x00 \uffff", "Grüße 😀 \x00 \uffff"),
        ("half \ud83d of it", "half \ufffd of it"),
        ("\ude00 the other half", "\ufffd the other half"),
        ("at the end \ud83d", "at the end \ufffd"),
        ("\ud83d\ud83d\ude00\ude00", "\ufffd😀\ufffd"),
        ("two halves \ud83d\ude00 of one", "two halves 😀 of one"),
        ("bytes of a file name: \udce4", "bytes of a file name: \ufffd"),
        ("\ufeffwith a mark", "\ufeffwith a mark"),
    ],
)
def test_halves_are_replaced_and_pairs_joined(text: str, valid: str) -> None:
    assert valid_text(text) == valid


@given(ANY_TEXT)
def test_any_text_becomes_valid_and_stays_what_it_is(text: str) -> None:
    valid = valid_text(text)
    assert valid.encode().decode() == valid
    assert valid_text(valid) is valid
    surrogates = [letter for letter in text if "\ud800" <= letter <= "\udfff"]
    if not surrogates:
        assert valid is text


@given(ANY_JSON)
def test_any_json_becomes_valid(value: Any) -> None:
    valid = valid_json(value)
    assert json.loads(json.dumps(valid, ensure_ascii=False).encode()) == valid
    assert valid_json(valid) == valid


def test_keys_and_values_at_any_depth() -> None:
    value = {"a\ud83d": [1, None, ("b\ud83d", {"c": {"d\ude00": "e\ud83d"}})]}
    assert valid_json(value) == {"a\ufffd": [1, None, ["b\ufffd", {"c": {"d\ufffd": "e\ufffd"}}]]}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("text", ["", "{", nested(101), nested(900), "[" * 100_000, '{"a":' * 5000, "1" * 5000])
def test_what_is_no_json_or_nested_too_deeply_is_one_error(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)


def test_what_is_nested_as_deeply_as_may_be_is_read() -> None:
    assert json.dumps(read_json(nested(100))) == nested(100)
