"""The message that the server refuses is found within two sessions, and no other is blamed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.live.refusals import (
    CROSSING_S,
    MAX_KEYS,
    MAX_SENT_PICTURE_BYTES,
    REFUSED_RESPONSE,
    Content,
    Refusals,
    Told,
)
from agent.live.uplink import AgentChange, Note, ToolResult, TypedText
from agent.picture import Picture

A, B, C = TypedText("a"), TypedText("b"), TypedText("c")


def closed_after(refusals: Refusals, *contents: Content) -> tuple[Content, ...]:
    """Send to a new session until it is closed."""
    refusals.session_began()
    for content in contents:
        refusals.sent([content], 0.0)
    return refusals.closed()


def test_what_was_refused_once_may_have_been_bad_luck() -> None:
    refusals = Refusals()
    assert closed_after(refusals, A) == ()
    assert not refusals.is_refused(A)
    assert refusals.admit(A) is A
    assert not refusals.is_suspect([A])  # the only one: there is nothing to tell it from


def test_what_was_refused_twice_is_not_sent_again() -> None:
    refusals = Refusals()
    closed_after(refusals, A)
    assert closed_after(refusals, A) == (A,)
    assert refusals.admit(A) is None
    assert refusals.admit(B) is B
    assert closed_after(refusals) == ()


def test_of_several_suspects_it_is_the_last_one_sent() -> None:
    refusals = Refusals()
    closed_after(refusals, A, B, C)
    assert all(refusals.is_suspect([content]) for content in (A, B, C))
    assert closed_after(refusals, A, B) == (B,)
    assert [refusals.is_refused(content) for content in (A, B, C)] == [False, True, False]


def test_what_came_after_the_suspect_is_not_blamed() -> None:
    refusals = Refusals()
    closed_after(refusals, A)
    assert closed_after(refusals, A, B) == (A,)


def test_what_a_completed_turn_followed_is_taken() -> None:
    refusals = Refusals()
    refusals.sent([A], 0.0)
    refusals.sent([B], 5.0)
    refusals.turn_completed(5.0 + CROSSING_S / 2)  # it may be the end of a turn from before B
    assert refusals.closed() == ()
    assert closed_after(refusals, A) == ()  # a suspect since now
    assert closed_after(refusals, B) == (B,)


def test_a_suspect_is_cleared_by_a_turn() -> None:
    refusals = Refusals()
    closed_after(refusals, A)
    refusals.session_began()
    refusals.sent([A], 0.0)
    refusals.turn_completed(1.0)
    assert closed_after(refusals, A) == ()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (TypedText("words "), Told("words")),
        (Note("words"), Told("words")),
        (TypedText("words"), Note("words", wants_reply=True)),
        (ToolResult("id1", "book", {"output": [1]}), ToolResult("id2", "book", {"output": [1]}, "SILENT")),
        (
            ToolResult("id1", "book", {"output": 1}),
            Note("told late", result=ToolResult("id1", "book", {"output": 1})),
        ),
        (AgentChange("be brief", None), AgentChange(None, ())),
    ],
)
def test_the_same_in_another_form_is_the_same(first: Content, again: Content) -> None:
    refusals = Refusals()
    closed_after(refusals, first)
    assert closed_after(refusals, again) == (again,)
    assert refusals.is_refused(first)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (TypedText("words"), TypedText("words", (Picture(b"png", "image/png"),))),
        (TypedText("words"), TypedText("Words")),
        (ToolResult("id1", "book", {"output": 1}), ToolResult("id1", "book", {"output": 2})),
        (ToolResult("id1", "book", {"output": 1}), ToolResult("id1", "cancel", {"output": 1})),
        (ToolResult("id1", "book", {"output": 1}), Note("book")),
        (
            ToolResult("id1", "look", {"output": "(picture 1)"}, pictures=(Picture(b"one", "image/png"),)),
            ToolResult("id2", "look", {"output": "(picture 1)"}, pictures=(Picture(b"two", "image/png"),)),
        ),
    ],
)
def test_anything_else_is_another(first: Content, other: Content) -> None:
    refusals = Refusals()
    closed_after(refusals, first)
    assert closed_after(refusals, other) == ()


def test_the_model_is_told_that_a_result_cannot_be_told() -> None:
    refusals = Refusals()
    result = ToolResult("id1", "book", {"output": 1})
    closed_after(refusals, result)
    closed_after(refusals, result)
    assert refusals.admit(ToolResult("id2", "book", {"output": 1})) == ToolResult("id2", "book", REFUSED_RESPONSE)
    assert refusals.admit(Note("told late", result=result)) is None


def test_a_picture_that_is_refused_goes_with_its_result() -> None:
    refusals = Refusals()
    result = ToolResult("id1", "look", {"output": "(picture 1)"}, pictures=(Picture(b"bad", "image/png"),))
    closed_after(refusals, result)
    closed_after(refusals, result)
    assert refusals.admit(result) == ToolResult("id1", "look", REFUSED_RESPONSE)


def test_a_history_with_suspects_is_told_in_parts() -> None:
    turns = [Told(str(number)) for number in range(20)]
    refusals = Refusals()
    assert refusals.in_parts(turns, turns) == [turns]
    assert refusals.in_parts([], []) == []
    refusals.sent(turns, 0.0)
    assert refusals.closed() == ()
    parts = refusals.in_parts(turns, turns)
    assert [turn for part in parts for turn in part] == turns
    assert len(parts) == 7
    refusals.session_began()
    for part in parts[:3]:
        refusals.sent(part, 0.0)
    assert list(refusals.closed()) == parts[2]
    assert [turn for turn in turns if refusals.is_refused(turn)] == list(parts[2])


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12), st.sampled_from("abcdefgh"))
def test_one_that_the_server_refuses_is_found_whatever_is_sent(sent: Sequence[str], poison: str) -> None:
    """A server that closes at one text; pauses let it do so before the next is sent."""
    refusals = Refusals()
    for _session in range(3):
        refusals.session_began()
        burst = not any(refusals.is_suspect([TypedText(text)]) for text in sent)
        reached = False
        for text in sent:
            message = refusals.admit(TypedText(text))
            if message is not None and (burst or not reached):
                refusals.sent([message], 0.0)
                reached = reached or text == poison
        if reached:
            refusals.closed()
    assert {text for text in sent if refusals.is_refused(TypedText(text))} == {poison} & set(sent)


def test_it_does_not_grow() -> None:
    refusals = Refusals()
    for number in range(2 * MAX_KEYS):
        closed_after(refusals, TypedText(str(number)))
        closed_after(refusals, TypedText(str(number)))
    assert len(refusals._refused) + len(refusals._suspects) <= 2 * MAX_KEYS


def test_pictures_are_remembered_up_to_a_bound() -> None:
    """While no turn completes nothing is known to be taken; the oldest are let go of."""
    refusals = Refusals()
    large = Picture(bytes(MAX_SENT_PICTURE_BYTES // 2), "image/png")
    for number in range(5):
        refusals.sent([TypedText(str(number), (large,))], 0.0)
    assert refusals.closed() == ()
    suspects = [refusals.is_suspect([TypedText(str(number), (large,))]) for number in range(5)]
    assert suspects == [False, False, False, True, True]
