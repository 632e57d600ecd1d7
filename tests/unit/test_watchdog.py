"""An agent that owes an answer is noticed, step by step; one that owes nothing is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.watchdog import LADDER, LEAST_SPEECH_S, QUIET_AFTER_NOISE_S, Alarm, Pause, Watchdog

LIMIT_S = 10.0
START = 1000.0  # the clock is monotonic seconds: it does not begin at 0


def watchdog(*, transcribed: bool = True, timeout_s: float = LIMIT_S) -> Watchdog:
    """One of a call whose session is ready."""
    watch = Watchdog(timeout_s, transcribed=transcribed)
    watch.proceed("session", START)
    return watch


def speak(watch: Watchdog, now: float, seconds: float = 1.0) -> float:
    """Let the caller speak; return when that ends."""
    watch.caller_started(now)
    watch.caller_stopped(now + seconds)
    return now + seconds


def asked(now: float = START) -> Watchdog:
    """The caller typed a question, and the server's messages still come."""
    watch = watchdog()
    watch.caller_asked(now)
    return watch


# what is owed


def test_nothing_is_owed_at_first() -> None:
    watch = watchdog()
    assert not watch.owed
    assert watch.tick(START + 1000) is None


def test_an_answer_is_owed_for_what_was_typed() -> None:
    watch = asked()
    watch.message_came(START + 5)
    assert watch.owed
    assert watch.tick(START + LIMIT_S - 0.1) is None
    assert watch.tick(START + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_an_answer_is_owed_for_words() -> None:
    watch = watchdog()
    watch.caller_started(START)
    watch.words_came(START + 1)
    assert watch.owed
    watch.caller_stopped(START + 2)
    watch.words_came(START + 3)
    watch.message_came(START + 4)
    assert watch.tick(START + 3 + LIMIT_S - 0.1) is None
    assert watch.tick(START + 3 + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_speech_alone_owes_nothing_while_words_are_transcribed() -> None:
    watch = watchdog()
    speak(watch, START)
    assert not watch.owed


@pytest.mark.parametrize(("spoke_s", "owed"), [(LEAST_SPEECH_S - 0.01, False), (LEAST_SPEECH_S, True)])
def test_without_transcripts_speech_owes_an_answer_but_a_cough_does_not(spoke_s: float, owed: bool) -> None:
    watch = watchdog(transcribed=False)
    speak(watch, 0.0, spoke_s)
    assert watch.owed is owed


def test_silence_that_no_speech_preceded_owes_nothing() -> None:
    watch = watchdog(transcribed=False)
    watch.caller_stopped(START)
    assert not watch.owed


# what pays


def test_audible_speech_of_the_agent_pays() -> None:
    watch = asked()
    watch.agent_spoke(START + 1, audible=True)
    assert not watch.owed
    assert watch.tick(START + 1000) is None


def test_sound_that_nobody_hears_pays_nothing() -> None:
    watch = asked()
    watch.agent_spoke(START + 1, audible=False)
    assert watch.owed


def test_an_interruption_pays_and_the_new_words_owe() -> None:
    watch = asked()
    watch.caller_started(START + 1)
    watch.agent_interrupted(START + 2)
    assert not watch.owed
    watch.words_came(START + 2.1)
    assert watch.owed


def test_transcripts_that_come_after_the_answer_owe_nothing() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.agent_spoke(stopped_at + 0.5, audible=True)
    watch.words_came(stopped_at + 0.6)
    assert not watch.owed
    watch.words_came(stopped_at + 60.0)
    assert not watch.owed


def test_words_of_speech_after_the_answer_owe_again() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.agent_spoke(stopped_at + 0.5, audible=True)
    stopped_at = speak(watch, stopped_at + 5)
    watch.words_came(stopped_at + 0.1)
    assert watch.owed


# when time counts


def test_time_does_not_count_while_the_caller_speaks_and_starts_anew_afterwards() -> None:
    watch = asked()
    watch.caller_started(START + 1)
    assert watch.tick(START + 100) is None
    watch.caller_stopped(START + 100)
    watch.message_came(START + 101)
    assert watch.tick(START + 100 + LIMIT_S - 0.1) is None
    assert watch.tick(START + 100 + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


@pytest.mark.parametrize("why", ["session", "tools"])
def test_time_does_not_count_in_a_pause_and_starts_anew_afterwards(why: Pause) -> None:
    watch = asked()
    watch.pause(why, START + 1)
    assert watch.tick(START + 100) is None
    assert watch.turn_completed(START + 100) is None
    watch.proceed(why, START + 100)
    assert watch.tick(START + 100 + LIMIT_S - 0.1) is None
    watch.message_came(START + 101)
    assert watch.tick(START + 100 + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_both_pauses_must_be_over() -> None:
    watch = asked()
    watch.pause("tools", START + 1)
    watch.pause("session", START + 2)
    watch.proceed("tools", START + 3)
    assert watch.tick(START + 100) is None
    watch.proceed("session", START + 100)
    assert watch.tick(START + 100 + LIMIT_S) is not None


def test_before_the_first_session_is_ready_time_does_not_count() -> None:
    watch = Watchdog(LIMIT_S, transcribed=True)
    watch.caller_asked(START)
    assert watch.tick(START + 100) is None
    watch.proceed("session", START + 100)
    assert watch.tick(START + 100 + LIMIT_S - 0.1) is None
    assert watch.tick(START + 100 + LIMIT_S) is not None


def test_a_question_asked_in_a_pause_is_owed_after_it() -> None:
    watch = watchdog()
    watch.pause("session", START)
    watch.caller_asked(START + 1)
    watch.proceed("session", START + 60)
    assert watch.tick(START + 60 + LIMIT_S) is not None


# turns


def test_a_turn_with_nothing_to_hear_is_noticed_at_its_end() -> None:
    watch = asked()
    watch.message_came(START + 1)
    assert watch.turn_completed(START + 1) == Alarm("empty_turn", "nudge", nudge=True)


def test_a_turn_too_faint_to_be_heard_is_noticed_at_its_end() -> None:
    watch = asked()
    watch.message_came(START + 1)
    watch.agent_spoke(START + 1, audible=False)
    assert watch.turn_completed(START + 2) == Alarm("inaudible", "nudge", nudge=True)


def test_a_turn_that_was_heard_is_fine_even_if_words_came_after_its_beginning() -> None:
    watch = asked()
    watch.agent_spoke(START + 1, audible=True)
    watch.caller_asked(START + 2)
    assert watch.turn_completed(START + 3) is None
    assert watch.owed


def test_an_empty_turn_while_nothing_is_owed_is_fine() -> None:
    watch = watchdog()
    assert watch.turn_completed(START) is None
    watch = watchdog()
    speak(watch, START, 0.3)
    assert watch.turn_completed(START + 1) is None


def test_each_turn_is_judged_by_itself() -> None:
    watch = asked()
    watch.message_came(START + 1)
    watch.agent_spoke(START + 1, audible=True)
    assert watch.turn_completed(START + 2) is None
    watch.caller_asked(START + 3)
    watch.message_came(START + 4)
    assert watch.turn_completed(START + 4) == Alarm("empty_turn", "nudge", nudge=True)


def test_the_end_of_a_session_ends_its_turn() -> None:
    """What was heard of a turn that the old session never completed is no answer of the new one."""
    watch = asked()
    watch.agent_spoke(START + 1, audible=True)
    watch.pause("session", START + 2)
    watch.proceed("session", START + 3)
    watch.caller_asked(START + 4)
    watch.message_came(START + 5)
    assert watch.turn_completed(START + 5) == Alarm("empty_turn", "nudge", nudge=True)


# the ladder


def test_the_ladder_is_climbed_one_step_at_a_time_and_ends_with_an_apology() -> None:
    watch = asked()
    alarms = []
    for number in range(1, 6):
        watch.message_came(START + number * LIMIT_S - 1)
        assert watch.tick(START + number * LIMIT_S - 0.1) is None
        alarms.append(watch.tick(START + number * LIMIT_S))
    assert alarms == [
        Alarm("no_answer", "nudge", nudge=True),
        Alarm("no_answer", "resume", nudge=True),
        Alarm("no_answer", "rebuild", nudge=True),
        Alarm("no_answer", "apologise", nudge=False),
        None,
    ]
    assert not watch.owed


def test_empty_turns_climb_too() -> None:
    watch = asked()
    watch.message_came(START + 1)
    alarms = [watch.turn_completed(START + 1 + number / 10) for number in range(5)]
    assert [alarm and alarm.step for alarm in alarms] == [*LADDER, None]


def test_after_an_apology_a_new_question_begins_at_the_foot() -> None:
    watch = asked()
    watch.message_came(START + 1)
    for number in range(4):
        watch.turn_completed(START + 1 + number)
    watch.caller_asked(START + 10)
    watch.message_came(START + 10)
    assert watch.turn_completed(START + 11) == Alarm("empty_turn", "nudge", nudge=True)


def test_after_an_apology_late_words_owe_nothing() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.words_came(stopped_at)
    watch.message_came(stopped_at)
    for number in range(4):
        watch.turn_completed(stopped_at + 1 + number)
    watch.words_came(stopped_at + 6)
    assert not watch.owed


def test_further_words_prolong_the_time_but_do_not_lower_the_step() -> None:
    watch = asked()
    watch.message_came(START + LIMIT_S)
    assert watch.tick(START + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)
    watch.caller_asked(START + LIMIT_S + 5)
    watch.message_came(START + LIMIT_S + 6)
    assert watch.tick(START + 2 * LIMIT_S + 4.9) is None
    assert watch.tick(START + 2 * LIMIT_S + 5) == Alarm("no_answer", "resume", nudge=True)


def test_an_answer_puts_the_next_question_at_the_foot() -> None:
    watch = asked()
    watch.message_came(START + 1)
    watch.turn_completed(START + 1)
    watch.turn_completed(START + 2)
    watch.agent_spoke(START + 3, audible=True)
    watch.turn_completed(START + 4)
    watch.caller_asked(START + 5)
    watch.message_came(START + 6)
    assert watch.turn_completed(START + 6) == Alarm("empty_turn", "nudge", nudge=True)


def test_a_session_from_which_nothing_came_is_replaced_and_not_nudged() -> None:
    watch = asked()
    alarms = [watch.tick(START + number * LIMIT_S) for number in (1, 2, 3)]
    assert alarms == [
        Alarm("no_message", "resume", nudge=False),
        Alarm("no_answer", "rebuild", nudge=False),
        Alarm("no_answer", "apologise", nudge=False),
    ]


# speech that leads to nothing


def test_speech_that_no_message_follows_has_the_session_resumed_once() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    assert watch.tick(stopped_at + LIMIT_S - 0.1) is None
    assert watch.tick(stopped_at + LIMIT_S) == Alarm("no_message", "resume", nudge=False)
    assert watch.tick(stopped_at + 1000) is None
    assert not watch.owed


def test_after_that_noise_is_left_alone_for_a_while() -> None:
    watch = watchdog()
    alarm_at = speak(watch, START) + LIMIT_S
    watch.tick(alarm_at)
    speak(watch, alarm_at + QUIET_AFTER_NOISE_S - 1.1)
    assert watch.tick(alarm_at + 1000) is None
    stopped_at = speak(watch, alarm_at + 2000)
    assert watch.tick(stopped_at + LIMIT_S) == Alarm("no_message", "resume", nudge=False)


def test_any_message_shows_that_the_connection_lives() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.message_came(stopped_at + LIMIT_S - 1)
    assert watch.tick(stopped_at + 1000) is None


def test_a_cough_that_no_message_follows_is_nothing() -> None:
    watch = watchdog()
    stopped_at = speak(watch, 0.0, LEAST_SPEECH_S - 0.01)
    assert watch.tick(stopped_at + 1000) is None


def test_another_session_makes_the_silence_of_the_old_one_unimportant() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.pause("session", stopped_at + 1)
    watch.proceed("session", stopped_at + 2)
    assert watch.tick(stopped_at + 1000) is None


# any order of things

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("started", "stopped", "asked", "asked", "words", "message", "audible", "inaudible"),
                *("interrupted", "turn", "turn", "turn", "pause", "proceed", "tick", "tick"),
            ]
        ),
        st.sampled_from(["session", "tools"]),
        st.sampled_from([0.0, 0.1, 1.0, LIMIT_S / 2, LIMIT_S, 3 * LIMIT_S]),
    ),
    max_size=60,
)


def happen(watch: Watchdog, what: str, why: Pause, now: float) -> Alarm | None:
    match what:
        case "started":
            watch.caller_started(now)
        case "stopped":
            watch.caller_stopped(now)
        case "asked":
            watch.caller_asked(now)
        case "words":
            watch.words_came(now)
        case "message":
            watch.message_came(now)
        case "audible" | "inaudible":
            watch.agent_spoke(now, audible=what == "audible")
        case "interrupted":
            watch.agent_interrupted(now)
        case "turn":
            return watch.turn_completed(now)
        case "pause":
            watch.pause(why, now)
        case "proceed":
            watch.proceed(why, now)
        case _:
            return watch.tick(now)
    return None


Steps = list[tuple[str, Pause, float]]


@given(STEPS, st.booleans())
def test_without_a_timeout_it_never_strikes(steps: Steps, transcribed: bool) -> None:
    watch, now = watchdog(timeout_s=0.0, transcribed=transcribed), START
    for what, why, wait_s in steps:
        now += wait_s
        assert happen(watch, what, why, now) is None


@given(STEPS, st.booleans())
def test_the_ladder_is_only_climbed_and_only_for_a_debt(steps: Steps, transcribed: bool) -> None:
    watch, now = watchdog(transcribed=transcribed), START
    step = -1  # on the ladder; of the debt that stands
    pauses: set[Pause] = set()
    speaking = False
    for what, why, wait_s in steps:
        now += wait_s
        owed = watch.owed
        alarm = happen(watch, what, why, now)
        speaking = what == "started" or (speaking and what != "stopped")
        pauses = pauses | {why} if what == "pause" else pauses - {why} if what == "proceed" else pauses
        if alarm is not None:
            assert what in ("turn", "tick")
            assert not pauses
            assert not (speaking and what == "tick")
            if owed:
                taken = LADDER.index(alarm.step)
                assert taken == step + 1 or (step, taken) == (-1, 1)  # a dead session is not nudged
                assert watch.owed is (alarm.step != "apologise")
                step = taken
            else:
                assert alarm == Alarm("no_message", "resume", nudge=False)
        if not watch.owed:
            step = -1


@given(STEPS)
def test_a_debt_ends_by_an_answer_or_an_apology_and_by_nothing_else(steps: Steps) -> None:
    watch, now = watchdog(), START
    for what, why, wait_s in steps:
        now += wait_s
        owed = watch.owed
        alarm = happen(watch, what, why, now)
        paid = what in ("audible", "interrupted") or (alarm is not None and alarm.step == "apologise")
        if paid:
            assert not watch.owed
        elif owed:
            assert watch.owed
        elif watch.owed:
            assert what in ("asked", "words")


@given(STEPS)
def test_whoever_asks_last_gets_an_answer_or_an_apology(steps: Steps) -> None:
    watch, now = watchdog(), START
    for what, why, wait_s in steps:
        now += wait_s
        happen(watch, what, why, now)
    watch.caller_stopped(now)
    for why in ("session", "tools"):
        watch.proceed(why, now)
    watch.caller_asked(now)
    alarms = [watch.tick(now + number * LIMIT_S) for number in range(1, len(LADDER) + 1)]
    assert "apologise" in [alarm.step for alarm in alarms if alarm is not None]
    assert not watch.owed
