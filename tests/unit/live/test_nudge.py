"""A session is nudged once, however many nudges the previous one left unanswered."""

from __future__ import annotations

from agent.live.replay import MAX_OTHERS, ReplayRing
from agent.live.uplink import Audio, Nudge, TypedText, Uplink
from tests.support.uplink import items_of, take_all

LONG_S = 10.0
SPEECH = Audio(bytes(640))


def test_a_nudge_that_was_not_answered_is_sent_again() -> None:
    """The session was lost by itself, and the caller still waits."""
    ring = ReplayRing()
    for item in (TypedText("hello"), Nudge("answer")):
        ring.sent(item, 0.0)
    assert items_of(ring.since_handle()) == items_of(ring.since_turn()) == [TypedText("hello"), Nudge("answer")]


def test_the_next_session_is_nudged_once_after_all_else() -> None:
    ring = ReplayRing()
    for item in (TypedText("hello"), Nudge("answer"), SPEECH):
        ring.sent(item, 0.0)
    ring.nudge(Nudge("answer!"))
    again = [TypedText("hello"), SPEECH, Nudge("answer!")]
    assert items_of(ring.since_handle()) == items_of(ring.since_turn()) == again
    ring.nudge(Nudge("answer!!"))
    assert items_of(ring.since_turn()) == [*again[:-1], Nudge("answer!!")]


def test_a_question_that_the_handle_knows_is_not_asked_again_but_the_model_is_nudged() -> None:
    ring = ReplayRing()
    ring.sent(TypedText("hello"), 0.0)
    ring.turn_completed()
    ring.handle_came(LONG_S)
    ring.nudge(Nudge("answer"))
    ring.handle_came(LONG_S)  # of a session that is being left; it was not sent there
    assert items_of(ring.since_handle()) == items_of(ring.since_turn()) == [Nudge("answer")]


def test_nudges_take_no_room() -> None:
    ring = ReplayRing()
    ring.sent(TypedText("hello"), 0.0)
    for number in range(3 * MAX_OTHERS):
        ring.sent(Nudge(str(number)), 0.0)
    assert items_of(ring.since_turn()) == [TypedText("hello"), Nudge(str(3 * MAX_OTHERS - 1))]
    assert ring.covers_turn


def test_a_nudge_that_waits_to_be_sent_is_taken_out() -> None:
    uplink = Uplink()
    for item in (TypedText("one"), Nudge("answer"), SPEECH, TypedText("two")):
        uplink.put(item)
    uplink.drop_nudge()
    assert take_all(uplink, 3) == [TypedText("one"), SPEECH, TypedText("two")]
    uplink.drop_nudge()
