"""Speech that is sent again lies within the activities in which it was spoken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.live.replay import MAX_OTHERS, ReplayRing
from agent.live.uplink import BYTES_PER_S, ActivityMark, Audio, Item, TypedText
from tests.support.uplink import items_of

START, END = ActivityMark(starts=True), ActivityMark(starts=False)
LATER_S = 10.0  # nothing crosses a handle so late


def audio(seconds: float = 0.02, *, speech: bool = True) -> Audio:
    return Audio(bytes(int(seconds * BYTES_PER_S)), speech)


def ring_of(*items: Item) -> ReplayRing:
    ring = ReplayRing()
    for item in items:
        ring.sent(item, 0.0)
    return ring


def test_marks_are_sent_again_in_order_with_the_audio() -> None:
    said: list[Item] = [audio(), START, audio(), TypedText("hello"), END, audio()]
    assert items_of(ring_of(*said).since_turn()) == said


def test_an_activity_that_was_open_at_the_handle_is_started_again() -> None:
    ring = ring_of(START, audio())
    ring.handle_came(LATER_S)
    ring.sent(audio(0.04), LATER_S)
    assert items_of(ring.since_handle()) == [START, audio(0.04)]


def test_an_activity_that_interrupted_the_agent_is_started_again_after_the_turn_it_ended() -> None:
    ring = ring_of(START, audio())
    ring.turn_completed()
    ring.sent(audio(0.04), 0.0)
    ring.sent(END, 0.0)
    assert items_of(ring.since_turn()) == [START, audio(0.04), END]


def test_an_activity_that_had_ended_is_not_started_again() -> None:
    ring = ring_of(START, audio(), END)
    ring.handle_came(LATER_S)
    ring.turn_completed()
    ring.sent(audio(), LATER_S)
    assert items_of(ring.since_handle()) == items_of(ring.since_turn()) == [audio()]


def test_a_start_that_is_forgotten_is_sent_all_the_same() -> None:
    ring = ring_of(START, *[audio(0.5)] * 62)
    assert not ring.covers_turn
    assert items_of(ring.since_turn()) == [START, *[audio(0.5)] * 60]


def test_a_long_activity_is_kept() -> None:
    said: list[Item] = [START, *[audio(0.5)] * 60, END]
    assert items_of(ring_of(*said).since_turn()) == said


STEPS = st.lists(
    st.sampled_from(["start", "end", "audio", "long", "text", "handle", "turn"]), max_size=3 * MAX_OTHERS
)


@given(STEPS)
def test_the_next_session_knows_the_same_activities(steps: list[str]) -> None:
    """Whatever is forgotten: each audio sent again lies within an activity there if and only if it did at first."""
    ring, now, is_open = ReplayRing(), 0.0, False
    within: dict[bytes, bool] = {}  # each audio is told by its first bytes
    for number, step in enumerate(steps):
        now += LATER_S
        match step:
            case "start" | "end":
                is_open = step == "start"
                ring.sent(ActivityMark(is_open), now)
            case "audio" | "long":
                name = number.to_bytes(4, "big")
                within[name] = is_open
                ring.sent(Audio(name + bytes(100 if step == "audio" else 10 * BYTES_PER_S)), now)
            case "text":
                ring.sent(TypedText("hello"), now)
            case "handle":
                ring.handle_came(now)
            case _:
                ring.turn_completed()
        for again in (ring.since_handle(), ring.since_turn()):
            open_there = False
            for item in items_of(again):
                if isinstance(item, ActivityMark):
                    open_there = item.starts
                elif isinstance(item, Audio):
                    assert open_there == within[item.pcm_bytes[:4]]
            assert open_there == is_open
