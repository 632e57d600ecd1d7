"""What is masked never reaches the caller, and everything else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.dialects.mask import MASK, redacted

SECRET = "4711-secret"
PLAIN = st.none() | st.booleans() | st.integers() | st.text("abc{[ü ", max_size=8)
KEYS = st.sampled_from(["city", "pin", "PIN", "cardNumber", "card_number", "card-number", "pins"])
MASKED = ("pin", "card_number")


def held(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4) | inner.map(json.dumps)


def is_masked(key: str) -> bool:
    return key.lower().replace("_", "").replace("-", "") in ("pin", "cardnumber")


def planted(value: Any) -> Any:
    """Put the secret where it must be masked."""
    match value:
        case dict():
            return {key: {"x": [SECRET]} if is_masked(key) else planted(inner) for key, inner in value.items()}
        case list():
            return [planted(inner) for inner in value]
        case _:
            return value


@given(st.recursive(PLAIN, held, max_leaves=20))
def test_what_is_masked_is_not_told_and_the_rest_is(value: Any) -> None:
    told = redacted(planted(value), MASKED)
    assert SECRET not in json.dumps(told)
    assert SECRET not in json.dumps(redacted({"output": json.dumps(planted(value))}, MASKED))
    assert redacted(value, ()) is value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"pin": None, "city": "Rome"}, {"pin": MASK, "city": "Rome"}),
        ({"card": {"PIN": 1, "cardNumber": 2}}, {"card": {"PIN": MASK, "cardNumber": MASK}}),
        ({"output": '{"pin": 1, "city": "Rom\\u00e9"}'}, {"output": '{"pin": "***", "city": "Romé"}'}),
        ({"output": '[1,  2] {"pin"'}, {"output": '[1,  2] {"pin"'}),
        ({"output": '{"a":  1}'}, {"output": '{"a":  1}'}),
        ({"pinball": 1}, {"pinball": 1}),
    ],
)
def test_examples(value: Any, told: Any) -> None:
    assert redacted(value, MASKED) == told
