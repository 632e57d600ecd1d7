"""A kept call comes back from JSON unchanged, and nothing else passes for one."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.kept import HANDLE_LIFE_S, MAX_HANDLE_CHARS, MAX_TURN_CHARS, KeptCall, read_kept
from agent.dialog.budget import Spent
from agent.errors import ConfigError
from agent.spoken import Spoken

KEPT = KeptCall(
    kept_at=1000.0,
    model="gemini-3.8-live",
    turns=(
        Spoken(speaker="caller", text="hello"),
        Spoken(speaker="agent", text="Hi."),
        Spoken(speaker="caller", text="[a note]", noted=True),
    ),
    instructions="You are a pirate.",
    open_tools=("book",),
    tokens={"prompt": {"AUDIO": 12, "TEXT": 3}, "response": {"AUDIO": 7}},
    cost_usd=0.0125,
    handle="H-1",
)


def kept_of(**changes: Any) -> KeptCall:
    """Return what is kept of a call in which this was different."""
    plain: dict[str, Any] = {"model": "m", "turns": (), "instructions": None, "open_tools": (), "handle": None}
    return KeptCall.of(**{**plain, "spent": Spent(), "now": 1000.0, **changes})


def test_it_comes_back_as_it_was() -> None:
    assert read_kept(json.loads(json.dumps(KEPT.to_json()))) == KEPT
    least = {"kept_at": 0, "model": "m", "turns": []}
    assert read_kept(least) == KeptCall(kept_at=0, model="m", turns=())


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"version": 2}, "version"),
        ({"kept_at": -1}, "kept_at"),
        ({"model": None}, "model"),
        ({"turns": [{"speaker": "model", "text": "x"}]}, "turns.0.speaker"),
        ({"turns": [{"speaker": "agent"}]}, "turns.0.text"),
        ({"turns": [{"speaker": "agent", "text": "x" * 70_000}]}, "turns.0.text"),
        ({"turns": [{"speaker": "agent", "text": "x", "role": "system"}]}, "turns.0.role"),
        ({"turns": [{"speaker": "agent", "text": "x"}] * 1001}, "turns"),
        ({"tokens": {"prompt": {"AUDIO": -1}}}, "tokens.prompt.AUDIO"),
        ({"handle": 7}, "handle"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_anything_else_is_refused_by_name(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError, match=f"{where}: ".replace(".", r"\.")):
        read_kept({**KEPT.to_json(), **change})


@given(st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.text()))
def test_no_value_is_too_odd(value: object) -> None:
    with pytest.raises(ConfigError):
        read_kept(value)


def test_a_handle_is_good_for_its_model_and_for_a_while() -> None:
    assert KEPT.fresh_handle("gemini-3.8-live", 1000.0 + HANDLE_LIFE_S - 1) == "H-1"
    assert KEPT.fresh_handle("gemini-3.8-live", 1000.0 + HANDLE_LIFE_S) is None
    assert KEPT.fresh_handle("gemini-3.8-live", 999.0) is None
    assert KEPT.fresh_handle("gemini-3.1-flash-live-preview", 1001.0) is None


def test_what_it_had_used_is_counted_on() -> None:
    spent = KEPT.spent()
    assert spent.by_direction() == KEPT.tokens
    assert spent.cost_usd == Decimal("0.0125")


def test_no_word_shows_in_its_repr() -> None:
    assert "hello" not in repr(KEPT)
    assert "H-1" not in repr(KEPT)
    assert "pirate" not in repr(KEPT)


def test_text_is_made_valid_unicode() -> None:
    told = KEPT.to_json()
    told["turns"][0]["text"] = told["instructions"] = "half \ud83d"
    kept = read_kept(told)
    assert (kept.turns[0].text, kept.instructions) == ("half \ufffd", "half \ufffd")


def test_a_value_that_is_nested_too_deeply_is_none() -> None:
    value: object = []
    for _ in range(2000):
        value = [value]
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_kept(value)


@pytest.mark.parametrize("instructions", [None, "x" * MAX_TURN_CHARS, "x" * (MAX_TURN_CHARS + 1), "é" * 500_000])
def test_long_instructions_are_kept_as_far_as_they_are_taken_back(instructions: str | None) -> None:
    kept = kept_of(instructions=instructions)
    assert read_kept(json.loads(json.dumps(kept.to_json()))) == kept
    assert kept.instructions == (None if instructions is None else instructions[:MAX_TURN_CHARS])


def test_a_handle_that_is_too_long_is_left_out_and_not_cut() -> None:
    assert kept_of(handle="h" * MAX_HANDLE_CHARS).handle == "h" * MAX_HANDLE_CHARS
    assert kept_of(handle="h" * (MAX_HANDLE_CHARS + 1)).handle is None


LENGTHS = st.sampled_from([0, 1, 200, 201, 4096, 4097, 65_536, 65_537])
TURNS = st.builds(
    lambda speaker, length, noted: Spoken(speaker, "x" * length, noted=noted),
    st.sampled_from(["caller", "agent"]),
    LENGTHS,
    st.booleans(),
)


@given(st.lists(TURNS, max_size=8), LENGTHS, LENGTHS, LENGTHS, st.lists(LENGTHS, max_size=3), st.integers(0, 300))
def test_whatever_a_call_was_its_state_is_taken_back(
    turns: list[Spoken], model: int, instructions: int, handle: int, tools: list[int], further_tools: int
) -> None:
    kept = kept_of(
        model="m" * model,
        turns=turns,
        instructions="i" * instructions,
        handle="h" * handle,
        open_tools=["t" * length for length in tools] + ["tool"] * further_tools,
    )
    assert read_kept(json.loads(json.dumps(kept.to_json()))) == kept
