"""Output belongs to the right generation, in whatever order messages come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.turns import PAUSE_S, Turns


def test_before_any_output_there_is_no_generation() -> None:
    turns = Turns()
    assert turns.generation == 0
    assert not turns.generating


def test_output_begins_a_generation_and_more_output_stays_in_it() -> None:
    turns = Turns()
    assert [turns.output_arrived(now) for now in (0.0, 0.1, 60.0)] == [1, 1, 1]
    assert turns.generating


def test_output_after_the_turn_is_complete_begins_the_next_generation() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    assert turns.turn_completed() == 1
    assert not turns.generating
    assert turns.output_arrived(0.1) == 2


def test_a_cut_names_the_generation_to_flush_and_ends_generating() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    assert turns.cut(1.0) == 1
    assert not turns.generating


def test_output_that_arrives_late_belongs_to_the_cut_generation() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0)
    assert turns.output_arrived(1.05) == 1
    assert not turns.generating


def test_after_a_cut_the_turn_end_lets_the_next_generation_begin_at_once() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0)
    assert turns.turn_completed() == 1
    assert turns.output_arrived(1.01) == 2
    assert turns.generating


def test_a_cut_while_nothing_is_generated_cuts_no_later_generation() -> None:
    """The voice of a complete turn may still play: it is flushed, and the next reply is heard."""
    turns = Turns()
    turns.output_arrived(0.0)
    turns.turn_completed()
    assert turns.cut(5.0) == 1
    assert turns.output_arrived(5.1) == 2
    assert turns.generating


def test_a_cut_before_the_first_output_cuts_nothing() -> None:
    turns = Turns()
    assert turns.cut(0.0) == 0
    assert turns.output_arrived(0.1) == 1
    assert turns.generating


def test_a_reply_is_not_lost_when_the_turn_end_of_a_cut_never_comes() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0)
    assert turns.output_arrived(1.0 + PAUSE_S) == 2
    assert turns.generating


def test_a_pause_soon_after_the_cut_is_no_sign_of_a_new_generation() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0)
    assert turns.output_arrived(1.0 + PAUSE_S - 0.01) == 1


def test_a_cut_generation_that_streams_on_without_a_pause_stays_cut() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(0.0)
    late = [turns.output_arrived(step * PAUSE_S * 0.9) for step in range(1, 20)]
    assert late == [1] * 19
    assert not turns.generating


def test_a_second_cut_does_not_prolong_the_first() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0)
    turns.cut(1.4)
    assert turns.output_arrived(1.0 + PAUSE_S) == 2


def test_the_end_of_a_session_closes_the_open_generation() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    assert turns.session_ended()
    assert not turns.open
    assert not turns.generating
    assert turns.generation == 1
    assert turns.output_arrived(0.01) == 2
    assert turns.generating


def test_the_end_of_a_session_closes_a_cut_generation_too() -> None:
    """The next session's reply must not be taken for the rest of what was cut."""
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0)
    assert turns.session_ended()
    assert turns.output_arrived(1.01) == 2
    assert turns.generating


def test_the_end_of_a_session_between_turns_closes_nothing() -> None:
    turns = Turns()
    assert not turns.session_ended()
    turns.output_arrived(0.0)
    turns.turn_completed()
    assert not turns.session_ended()
    assert turns.generation == 1


def test_a_cut_that_the_model_does_not_know_of_lasts_over_its_pauses() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0, told=False)
    assert turns.output_arrived(1.0 + 20 * PAUSE_S) == 1
    assert not turns.generating
    turns.turn_completed()
    assert turns.output_arrived(30.0) == 2
    assert turns.generating


def test_a_model_that_hears_of_a_cut_later_may_begin_anew_after_a_pause() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.cut(1.0, told=False)
    turns.cut(5.0)
    assert turns.output_arrived(5.0 + PAUSE_S - 0.01) == 1
    assert turns.output_arrived(6.0 + PAUSE_S) == 2


def test_nothing_follows_a_complete_generation_whoever_cut_it() -> None:
    turns = Turns()
    turns.output_arrived(0.0)
    turns.generation_completed()
    turns.cut(1.0, told=False)
    assert turns.output_arrived(1.0 + PAUSE_S) == 2


STEPS = st.lists(
    st.tuples(st.sampled_from(["output", "cut", "complete", "session"]), st.floats(0.0, 2.0, allow_nan=False)),
    max_size=60,
)


@given(STEPS)
def test_the_rules_hold_in_every_order(steps: list[tuple[str, float]]) -> None:
    turns, now = Turns(), 0.0
    opened, cut_at, output_at = False, None, 0.0  # the rules, told by a second witness
    for step, pause_s in steps:
        now += pause_s
        before = turns.generation
        if step == "cut":
            assert turns.cut(now) == before
            if opened and cut_at is None:
                cut_at = output_at = now
        elif step == "complete":
            assert turns.turn_completed() == before
            opened, cut_at = False, None
        elif step == "session":
            assert turns.session_ended() is opened
            opened, cut_at = False, None
        else:
            revived = cut_at is not None and now - max(cut_at, output_at) >= PAUSE_S
            begins = not opened or revived
            assert turns.output_arrived(now) == before + begins
            opened, cut_at, output_at = True, None if begins else cut_at, now
        assert turns.open is opened
        assert turns.generating == (opened and cut_at is None)


@given(STEPS)
def test_what_was_cut_is_never_generating_again(steps: list[tuple[str, float]]) -> None:
    turns, now = Turns(), 0.0
    cut: set[int] = set()
    for step, pause_s in steps:
        now += pause_s
        if step == "cut":
            generating = turns.generating
            generation = turns.cut(now)
            cut |= {generation} if generating else set()
        elif step == "complete":
            turns.turn_completed()
        elif step == "session":
            turns.session_ended()
        else:
            turns.output_arrived(now)
        assert not (turns.generating and turns.generation in cut)
