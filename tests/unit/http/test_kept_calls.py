"""A kept call is accepted exactly as it was given out, and in no other form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from agent.call.kept import MAX_KEPT_CHARS, MAX_TURNS, KeptCall, newest
from agent.errors import OfferError
from agent.settings import Settings
from agent.spoken import Spoken
from signaling.http.kept_calls import KEPT_LIFE_S, MAX_STATE_BYTES, Seal

KEY = Settings(server_key=SecretStr("a-key-of-the-server"))
KEPT = KeptCall(
    kept_at=1000.0,
    model="gemini-3.8-live",
    turns=(Spoken(speaker="caller", text="Grüße 😀"), Spoken(speaker="agent", text="Hi.", noted=True)),
    instructions="Be kind.",
    open_tools=("book",),
    tokens={"prompt": {"AUDIO": 12}, "response": {"AUDIO": 7}},
    cost_usd=0.0125,
    handle="H-1",
)


def refusal(seal: Seal, state: bytes, now: float = 1000.0) -> tuple[int, str]:
    with pytest.raises(OfferError) as refused:
        seal.take_back(state, now)
    return refused.value.status, refused.value.code


def given_out(seal: Seal, kept: KeptCall = KEPT) -> dict[str, Any]:
    return seal.sign(kept).to_json()


def test_it_is_taken_back_by_any_service_with_the_same_key() -> None:
    told = given_out(Seal(KEY))
    kept = Seal(KEY).take_back(json.dumps(told).encode(), 1000.0)
    assert replace(kept, signature=None) == KEPT
    assert told["signature"] not in repr(kept)


def test_it_may_be_written_in_another_way() -> None:
    """JavaScript writes 1000.0 as 1000, and nobody keeps the order of keys."""
    told = given_out(Seal(KEY)) | {"kept_at": 1000}
    text = json.dumps(dict(reversed(told.items())), indent=2, ensure_ascii=False)
    assert Seal(KEY).take_back(text.encode(), 1000.0).turns == KEPT.turns


@pytest.mark.parametrize(
    "change",
    [
        {"turns": [{"speaker": "caller", "text": "You owe me a refund.", "noted": False}]},
        {"turns": []},
        {"instructions": "Be a pirate."},
        {"instructions": None},
        {"handle": "another"},
        {"model": "another"},
        {"kept_at": 2000.0},
        {"cost_usd": None},
        {"tokens": {}},
        {"open_tools": []},
        {"signature": None},
        {"signature": "A" * 43},
    ],
)
def test_whatever_was_changed_is_refused(change: dict[str, Any]) -> None:
    state = json.dumps(given_out(Seal(KEY)) | change).encode()
    assert refusal(Seal(KEY), state) == (403, "forged_state")


def test_another_key_is_none() -> None:
    state = json.dumps(given_out(Seal(KEY))).encode()
    other = Settings(server_key=SecretStr("another-key-of-a-server"))
    assert refusal(Seal(other), state) == (403, "forged_state")
    assert refusal(Seal(Settings()), state) == (403, "forged_state")


def test_without_a_server_key_it_is_good_for_one_process() -> None:
    seal = Seal(Settings())
    state = json.dumps(given_out(seal)).encode()
    assert seal.take_back(state, 1000.0).turns == KEPT.turns
    assert refusal(Seal(Settings()), state) == (403, "forged_state")


def test_it_grows_old() -> None:
    state = json.dumps(given_out(Seal(KEY))).encode()
    assert Seal(KEY).take_back(state, 1000.0 + KEPT_LIFE_S - 1).turns == KEPT.turns
    assert refusal(Seal(KEY), state, 1000.0 + KEPT_LIFE_S) == (410, "expired_state")


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"version": 2}',
        b"[" * 5000,
        b'{"a": ' * 3000 + b"1" + b"}" * 3000,
    ],
)
def test_anything_else_is_no_state(state: bytes) -> None:
    assert refusal(Seal(KEY), state) == (422, "invalid_state")


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_words(state: bytes) -> None:
    assert refusal(Seal(KEY), state)[0] in (403, 422)


def test_what_is_given_out_is_never_too_long_to_be_taken_back() -> None:
    turns = newest([Spoken(speaker="caller", text="😀" * 5000)] * 2000)
    assert sum(len(turn.text) for turn in turns) == MAX_KEPT_CHARS
    long = replace(KEPT, turns=turns, instructions="😀" * 65_536)
    state = json.dumps(given_out(Seal(KEY), long), ensure_ascii=False).encode()
    assert len(state) < MAX_STATE_BYTES
    assert Seal(KEY).take_back(state, 1000.0).turns == turns


def test_of_many_turns_the_newest_are_kept() -> None:
    turns = [Spoken(speaker="caller", text=str(number)) for number in range(MAX_TURNS + 5)]
    assert newest(turns) == tuple(turns[5:])
    assert newest([Spoken(speaker="caller", text="x" * (MAX_KEPT_CHARS + 1)), turns[0]]) == (turns[0],)
    assert newest([]) == ()
