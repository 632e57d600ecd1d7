"""Messages too long for the client are shortened, marked, and still JSON; all others are left as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.dialects.shorten import ELLIPSIS, shortened, to_json

LIMIT = 1000


def message(data: Any) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": "bot-output", "id": "7", "data": data}


def cut(data: Any, max_bytes: int = LIMIT) -> dict[str, Any]:
    short = shortened(to_json(message(data)), max_bytes)
    assert short is not None
    assert max_bytes * 0.9 - 40 < len(short.encode()) <= max_bytes
    parsed: dict[str, Any] = json.loads(short)
    found: dict[str, Any] = parsed.pop("data")
    assert parsed == {"label": "rtvi-ai", "type": "bot-output", "id": "7"}
    assert found.pop("shortened") is True
    return found


@pytest.mark.parametrize("letter", ["a", "ä", "語", "😀", '"', "\n", "\x01"])
def test_a_long_text_is_cut_at_its_end(letter: str) -> None:
    data = {"turn_id": "t1", "text": letter * 5000, "final": True, "revision": 3}
    short = cut(data)
    assert short["text"] == letter * (len(short["text"]) - 1) + ELLIPSIS
    assert {**short, "text": ""} == {**data, "text": ""}


def test_what_is_short_stays_beside_what_is_long() -> None:
    data = {"a": "x" * 200, "b": "y" * 9000, "c": "z" * 9000, "d": [1, None, {"e": 2.5}]}
    short = cut(data)
    assert (short["a"], short["d"]) == (data["a"], data["d"])
    assert abs(len(short["b"]) - len(short["c"])) < 3


def test_a_long_list_loses_its_end() -> None:
    short = cut({"name": "rows", "data": {"rows": [{"n": n} for n in range(900)], "all": 900}})
    rows = short["data"]["rows"]
    assert rows == [{"n": n} for n in range(len(rows))]
    assert short["data"]["all"] == 900


def test_an_object_of_too_many_names_loses_the_last() -> None:
    short = cut({"data": {f"name{n}": n for n in range(900)}})
    assert list(short["data"]) == [f"name{n}" for n in range(len(short["data"]))]


def test_too_little_room_for_anything() -> None:
    text = to_json(message({"text": "x" * 100}))
    assert shortened(text, 20) is None
    assert json.loads(shortened(text, 90) or "")["data"].keys() >= {"shortened"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("größe 語 😀", "größe 語 😀"),
        ("\ud83d\ude00", "😀"),
        ("half \ud83d", "half \ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_messages_are_utf_8(text: str, written: str) -> None:
    assert to_json({"text": text}).encode() == f'{{"text": "{written}"}}'.encode()


@pytest.mark.parametrize("data", [float("nan"), {(1, 2): 3}])
def test_what_json_cannot_hold_is_no_message(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        to_json({"data": data})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=30,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=9), JSON), st.integers(0, 600))
def test_any_message_fits_and_is_json(data: dict[str, Any], max_bytes: int) -> None:
    text = to_json(message(data))
    short = shortened(text, max_bytes)
    if short is None:
        assert max_bytes < 90
        return
    assert len(short.encode()) <= max_bytes
    found = json.loads(short)
    assert found["data"]["shortened"] is True
    assert found["data"].keys() - {"shortened"} <= data.keys()
