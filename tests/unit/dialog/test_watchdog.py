"""An agent that owes an answer is dealt with step by step; one that owes nothing is left alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.watchdog import LADDER, MIN_SPEECH_S, QUIET_AFTER_NOISE_S, Alarm, Pause, Watchdog

LIMIT_S = 10.0
PAUSE_S = 1.0  # in which a model that works has begun to answer
DEAD_S = 7.0
START = 1000.0  # the clock is monotonic seconds: it does not begin at 0


def watchdog(*, transcribed: bool = True, timeout_s: float = LIMIT_S, **traits: Any) -> Watchdog:
    """One of a call whose session is ready."""
    watch = Watchdog(timeout_s, transcribed=transcribed, answerable_pause_s=PAUSE_S, **traits)
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
    assert watch.tick(START + 2 + LIMIT_S - 0.1) is None
    assert watch.tick(START + 2 + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_words_that_come_after_the_speech_count_from_its_end() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.message_came(stopped_at + 2)
    watch.words_came(stopped_at + 2)
    assert watch.tick(stopped_at + LIMIT_S - 0.1) is None
    assert watch.tick(stopped_at + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_words_of_a_voice_that_is_too_low_for_the_level_put_the_step_off() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    for seconds in range(1, 9):
        watch.message_came(stopped_at + seconds)
        watch.words_came(stopped_at + seconds)
    assert watch.tick(stopped_at + 8 + LIMIT_S - 0.1) is None
    assert watch.tick(stopped_at + 8 + LIMIT_S) is not None


def test_speech_alone_owes_nothing_while_words_are_transcribed() -> None:
    watch = watchdog()
    speak(watch, START)
    assert not watch.owed


@pytest.mark.parametrize(("spoke_s", "owed"), [(MIN_SPEECH_S - 0.01, False), (MIN_SPEECH_S, True)])
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
    watch.caller_started(START + PAUSE_S - 0.1)
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


def test_further_words_neither_prolong_the_time_nor_lower_the_step() -> None:
    watch = asked()
    watch.message_came(START + LIMIT_S)
    assert watch.tick(START + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)
    watch.caller_asked(START + LIMIT_S + 5)
    watch.message_came(START + LIMIT_S + 6)
    assert watch.tick(START + 2 * LIMIT_S - 0.1) is None
    assert watch.tick(START + 2 * LIMIT_S) == Alarm("no_answer", "resume", nudge=True)


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
    watch.life_came(alarm_at + 1)  # the next session's
    speak(watch, alarm_at + QUIET_AFTER_NOISE_S - 1.1)
    watch.life_came(alarm_at + QUIET_AFTER_NOISE_S)
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
    stopped_at = speak(watch, 0.0, MIN_SPEECH_S - 0.01)
    assert watch.tick(stopped_at + 1000) is None


def test_another_session_makes_the_silence_of_the_old_one_unimportant() -> None:
    watch = watchdog()
    stopped_at = speak(watch, START)
    watch.pause("session", stopped_at + 1)
    watch.proceed("session", stopped_at + 2)
    assert watch.tick(stopped_at + 1000) is None


# who asks again


def test_who_asks_again_and_again_waits_since_the_first_time() -> None:
    """A word every three seconds: each pause is long enough for an answer."""
    watch = watchdog(transcribed=False)
    first = speak(watch, START, 0.6)
    alarms = []
    for half_second in range(1, 40):
        now = first + half_second / 2
        if half_second % 6 == 5:
            watch.caller_started(now)
        if half_second % 6 == 0:
            watch.caller_stopped(now)
        watch.message_came(now)  # the server lives
        alarms.append((now - first, watch.tick(now)))
    at_s, alarm = next(each for each in alarms if each[1] is not None)
    assert alarm == Alarm("no_answer", "nudge", nudge=True)
    assert LIMIT_S <= at_s <= LIMIT_S + 1.5


def test_who_types_again_and_again_waits_since_the_first_time() -> None:
    watch = asked()
    for seconds in range(3, 10, 3):
        watch.caller_asked(START + seconds)
        watch.message_came(START + seconds)
    assert watch.tick(START + LIMIT_S - 0.1) is None
    assert watch.tick(START + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_a_long_story_with_short_pauses_is_one_question() -> None:
    watch = watchdog(transcribed=False)
    now = START
    for _ in range(20):
        now = speak(watch, now + PAUSE_S - 0.1, 3.0)
        watch.message_came(now)
        assert watch.tick(now + PAUSE_S - 0.1) is None
    watch.message_came(now + 1)
    assert watch.tick(now + LIMIT_S - 0.1) is None
    assert watch.tick(now + LIMIT_S) is not None


def test_nobody_is_nudged_before_the_model_could_answer_what_was_said_last() -> None:
    watch = watchdog(transcribed=False)
    speak(watch, START)
    stopped_at = speak(watch, START + 4, 12.0)
    watch.message_came(stopped_at)
    assert watch.tick(stopped_at + PAUSE_S - 0.1) is None
    assert watch.tick(stopped_at + PAUSE_S) is not None


# a model that means to say nothing


def heard(watch: Watchdog, now: float = START) -> float:
    """Let the model transcribe something that the caller says; return when that was."""
    stopped_at = speak(watch, now)
    watch.message_came(stopped_at)
    watch.words_came(stopped_at)
    return stopped_at


def test_an_empty_turn_to_speech_that_may_be_ignored_is_no_fault() -> None:
    watch = watchdog(ignores_speech=True)
    now = heard(watch)
    assert watch.turn_completed(now + 1) is None
    assert (watch.owed, watch.unanswered) == (False, 1)
    watch.words_came(now + 2)  # late ones
    assert watch.tick(now + 1000) is None


def test_without_transcripts_too() -> None:
    watch = watchdog(transcribed=False, ignores_speech=True)
    now = speak(watch, START)
    assert watch.turn_completed(now + 1) is None
    assert (watch.owed, watch.unanswered) == (False, 1)


@pytest.mark.parametrize("reason", ["RESPONSE_REJECTED", "MALFORMED_FUNCTION_CALL", "SOMETHING_NEW"])
def test_an_empty_turn_that_went_wrong_is_a_fault_all_the_same(reason: str) -> None:
    watch = watchdog(ignores_speech=True)
    now = heard(watch)
    assert watch.turn_completed(now + 1, reason) == Alarm("empty_turn", "nudge", nudge=True)
    assert watch.unanswered == 0


@pytest.mark.parametrize("reason", [None, "NEED_MORE_INPUT"])
def test_a_turn_that_is_empty_because_the_model_waits_is_none(reason: str | None) -> None:
    watch = watchdog(ignores_speech=True)
    assert watch.turn_completed(heard(watch) + 1, reason) is None


def test_a_question_that_was_typed_may_not_be_ignored() -> None:
    watch = watchdog(ignores_speech=True)
    watch.caller_asked(START)
    assert watch.turn_completed(START + 1) == Alarm("empty_turn", "nudge", nudge=True)
    watch = watchdog(ignores_speech=True)
    watch.caller_asked(heard(watch) + 1)
    assert watch.turn_completed(START + 3) == Alarm("empty_turn", "nudge", nudge=True)


def test_speech_that_cannot_be_heard_was_not_meant_to_be_silence() -> None:
    watch = watchdog(ignores_speech=True)
    now = heard(watch)
    watch.agent_spoke(now + 1, audible=False)
    assert watch.turn_completed(now + 2) == Alarm("inaudible", "nudge", nudge=True)


def test_a_model_that_may_ignore_speech_and_ends_no_turn_is_nudged_gently() -> None:
    watch = watchdog(ignores_speech=True)
    now = heard(watch)
    watch.message_came(now + 1)
    assert watch.tick(now + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True, gentle=True)
    watch.message_came(now + LIMIT_S + 1)
    assert watch.turn_completed(now + LIMIT_S + 1) is None  # it did not want to speak
    assert watch.unanswered == 1


def use_tool(watch: Watchdog, now: float, *, silent: bool) -> None:
    watch.pause("tools", now)
    watch.tool_answered(silent=silent)
    watch.proceed("tools", now + 0.5)


@pytest.mark.parametrize("turn_first", [False, True])
def test_silence_after_a_silent_tool_is_no_fault(turn_first: bool) -> None:
    """The turn that called may be complete before the tool is, if the model did not wait for it."""
    watch = asked()
    watch.pause("tools", START + 1)
    if turn_first:
        assert watch.turn_completed(START + 1.1) is None
    watch.tool_answered(silent=True)
    watch.proceed("tools", START + 1.5)
    if not turn_first:
        assert watch.owed
        assert watch.turn_completed(START + 2) is None
    assert (watch.owed, watch.unanswered) == (False, 1)


def test_a_turn_that_does_not_end_after_a_silent_tool_is_noticed() -> None:
    watch = asked()
    use_tool(watch, START + 1, silent=True)
    watch.message_came(START + 2)
    assert watch.tick(START + 1.5 + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True, gentle=True)


@pytest.mark.parametrize("ignores_speech", [False, True])
@pytest.mark.parametrize("silent_too", [False, True])
def test_silence_after_a_tool_whose_answer_is_to_be_told_is_a_fault(ignores_speech: bool, silent_too: bool) -> None:
    watch = watchdog(ignores_speech=ignores_speech)
    now = heard(watch)
    use_tool(watch, now + 1, silent=False)
    if silent_too:
        use_tool(watch, now + 2, silent=True)
    assert watch.turn_completed(now + 3) == Alarm("empty_turn", "nudge", nudge=True)


def test_a_new_question_after_a_silent_tool_is_owed_an_answer() -> None:
    watch = asked()
    use_tool(watch, START + 1, silent=True)
    watch.caller_asked(START + 2)
    assert watch.turn_completed(START + 3) == Alarm("empty_turn", "nudge", nudge=True)


# the caller is known to be silent a little later than that is so

HANGOVER_S = 0.6


@pytest.mark.parametrize("transcribed", [False, True])
def test_a_turn_that_is_complete_before_the_caller_is_known_to_be_silent(transcribed: bool) -> None:
    """A server with a short silence window ends its turn sooner than that."""
    for ignores_speech, verdict in ((True, None), (False, Alarm("empty_turn", "nudge", nudge=True))):
        watch = watchdog(transcribed=transcribed, ignores_speech=ignores_speech, hangover_s=HANGOVER_S)
        watch.caller_started(START)
        watch.message_came(START + 1)
        watch.words_came(START + 1)
        watch.message_came(START + 1.5)
        assert watch.turn_completed(START + 1.5) is None
        watch.caller_stopped(START + 1 + HANGOVER_S)
        assert watch.tick(START + 2) == verdict
        assert (watch.owed, watch.unanswered) == (not ignores_speech, int(ignores_speech))


def test_a_turn_that_is_complete_while_the_caller_speaks_is_about_something_else() -> None:
    watch = watchdog(ignores_speech=True, hangover_s=HANGOVER_S)
    watch.caller_started(START)
    watch.message_came(START + 1)
    watch.words_came(START + 1)
    assert watch.turn_completed(START + 1) is None
    watch.caller_stopped(START + 5 + HANGOVER_S)
    assert watch.owed
    assert watch.tick(START + 5 + LIMIT_S - 0.1) is None
    assert watch.tick(START + 5 + LIMIT_S) is not None


def test_the_time_of_an_answer_counts_from_when_the_caller_was_silent() -> None:
    watch = watchdog(transcribed=False, hangover_s=HANGOVER_S)
    stopped_at = speak(watch, START)
    watch.message_came(stopped_at)
    assert watch.tick(stopped_at - HANGOVER_S + LIMIT_S - 0.1) is None
    assert watch.tick(stopped_at - HANGOVER_S + LIMIT_S) == Alarm("no_answer", "nudge", nudge=True)


def test_an_answer_that_began_before_that_pays() -> None:
    watch = watchdog(transcribed=False, hangover_s=HANGOVER_S)
    watch.caller_started(START)
    watch.agent_spoke(START + 1.3, audible=True)
    watch.caller_stopped(START + 1 + HANGOVER_S)
    assert not watch.owed


def test_a_message_that_came_before_that_shows_that_the_server_lives() -> None:
    watch = watchdog(hangover_s=HANGOVER_S, dead_after_s=DEAD_S)
    watch.caller_started(START)
    watch.message_came(START + 1.3)
    watch.caller_stopped(START + 1 + HANGOVER_S)
    assert watch.tick(START + 1000) is None


# an agent that writes


def test_text_pays_where_the_agent_writes() -> None:
    watch = watchdog(writes=True)
    watch.caller_asked(START)
    watch.agent_wrote(START + 1, " ")
    assert watch.owed
    watch.agent_wrote(START + 1, "Hello.")
    assert not watch.owed
    assert watch.turn_completed(START + 2) is None
    assert watch.tick(START + 1000) is None


def test_an_empty_text_is_noticed() -> None:
    watch = watchdog(writes=True)
    watch.caller_asked(START)
    assert watch.turn_completed(START + 1) == Alarm("empty_turn", "nudge", nudge=True)


def test_text_pays_nothing_where_the_agent_speaks() -> None:
    watch = asked()
    watch.agent_wrote(START + 1, "Hello.")
    assert watch.turn_completed(START + 2) == Alarm("empty_turn", "nudge", nudge=True)


# a server from which nothing comes


def test_a_dead_server_is_noticed_while_the_caller_speaks() -> None:
    watch = watchdog(dead_after_s=DEAD_S)
    watch.life_came(START)
    watch.caller_started(START + 1)
    assert watch.tick(START + 1 + DEAD_S - 0.1) is None
    assert watch.tick(START + 1 + DEAD_S) == Alarm("no_message", "resume", nudge=False)


def test_a_dead_server_is_noticed_by_who_says_hello_every_three_seconds() -> None:
    watch = watchdog(timeout_s=100.0, dead_after_s=DEAD_S)
    noticed = None
    for half_second in range(40):
        now = START + half_second / 2
        if half_second % 6 == 0:
            watch.caller_started(now)
        if half_second % 6 == 2:
            watch.caller_stopped(now)
        noticed = noticed or (now if watch.tick(now) else None)
    assert noticed == START + DEAD_S


def test_a_dead_server_is_noticed_by_who_types() -> None:
    watch = watchdog(timeout_s=100.0, dead_after_s=DEAD_S)
    watch.caller_asked(START)
    assert watch.tick(START + DEAD_S) == Alarm("no_message", "resume", nudge=False)


def test_the_next_session_may_be_dead_too() -> None:
    watch = watchdog(dead_after_s=DEAD_S)
    now = speak(watch, START)
    steps = []
    for _ in range(3):
        alarm = watch.tick(now + DEAD_S)
        steps.append(alarm and (alarm.step, alarm.nudge))
        watch.pause("session", now + DEAD_S)
        watch.life_came(now + DEAD_S + 0.5)  # it was set up
        watch.proceed("session", now + DEAD_S + 1)
        now += DEAD_S + 1
    assert steps == [("resume", False), ("rebuild", False), ("apologise", False)]
    assert watch.tick(now + 1000) is None


def test_a_pong_shows_that_the_server_lives() -> None:
    watch = watchdog(timeout_s=100.0, dead_after_s=DEAD_S)
    watch.caller_started(START)
    watch.life_came(START + 5)
    assert watch.tick(START + 5 + DEAD_S - 0.1) is None
    watch.caller_stopped(START + 5 + DEAD_S - 0.1)
    watch.life_came(START + 5 + DEAD_S)
    assert watch.tick(START + 99) is None


def test_a_server_that_is_slow_to_answer_pings_is_given_more_time() -> None:
    watch = watchdog(timeout_s=100.0, dead_after_s=DEAD_S)
    watch.life_came(START, slowest_pong_s=10.0)
    watch.caller_asked(START + 1)
    assert watch.tick(START + 1 + 19.9) is None
    assert watch.tick(START + 1 + 20.0) == Alarm("no_message", "resume", nudge=False)


def test_nobody_misses_a_server_while_nobody_speaks() -> None:
    watch = watchdog(dead_after_s=DEAD_S)
    speak(watch, START, MIN_SPEECH_S - 0.01)  # a cough
    assert watch.tick(START + 1000) is None


# any order of things

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("started", "stopped", "asked", "asked", "words", "message", "audible", "inaudible"),
                *("interrupted", "turn", "turn", "turn", "pause", "proceed", "tick", "tick"),
                *("wrote", "life", "silent tool", "tool"),
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
        case "wrote":
            watch.agent_wrote(now, "Yes.")
        case "life":
            watch.life_came(now)
        case "silent tool" | "tool":
            watch.tool_answered(silent=what == "silent tool")
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
TRAITS = st.fixed_dictionaries(
    {
        "transcribed": st.booleans(),
        "ignores_speech": st.booleans(),
        "writes": st.booleans(),
        "dead_after_s": st.sampled_from([DEAD_S, math.inf]),
        "hangover_s": st.sampled_from([0.0, HANGOVER_S]),
    }
)


@given(STEPS, TRAITS)
def test_without_a_timeout_it_never_strikes(steps: Steps, traits: dict[str, Any]) -> None:
    watch, now = watchdog(timeout_s=0.0, **traits), START
    for what, why, wait_s in steps:
        now += wait_s
        assert happen(watch, what, why, now) is None


@given(STEPS, TRAITS)
def test_the_ladder_is_only_climbed(steps: Steps, traits: dict[str, Any]) -> None:
    """One step at a time, at a turn's end or a look, in no pause; but for a dead session from the second one on."""
    watch, now = watchdog(**traits), START
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
            taken = LADDER.index(alarm.step)
            assert what in ("turn", "tick")
            assert not pauses
            assert not speaking or (what == "tick" and alarm.cause != "empty_turn")
            if owed:
                assert taken in (step + 1, max(step + 1, 1))  # a dead session is not nudged
                assert watch.owed is (alarm.step != "apologise")
                step = taken
            else:
                assert (alarm.cause, alarm.nudge) == ("no_message", False)
                assert taken >= 1
            assert not alarm.gentle or (alarm.nudge and (traits["ignores_speech"] or "silent tool" in str(steps)))
        if not watch.owed:
            step = -1


@given(STEPS, TRAITS)
def test_a_debt_ends_in_no_other_way(steps: Steps, traits: dict[str, Any]) -> None:
    """By an answer, an apology, or a silence that was meant."""
    watch, now = watchdog(**traits), START
    for what, why, wait_s in steps:
        now += wait_s
        owed, unanswered = watch.owed, watch.unanswered
        alarm = happen(watch, what, why, now)
        apologised = alarm is not None and alarm.step == "apologise"
        left = watch.unanswered > unanswered
        assert not left or (owed and what in ("turn", "proceed"))
        if what in ("audible", "interrupted") or (what == "wrote" and traits["writes"]) or apologised or left:
            assert not watch.owed
        elif owed:
            assert watch.owed
        elif watch.owed:
            assert what in ("asked", "words", "stopped")


@given(STEPS, TRAITS)
def test_only_what_may_be_left_is_left(steps: Steps, traits: dict[str, Any]) -> None:
    watch, now = watchdog(**{**traits, "ignores_speech": False}), START
    for what, why, wait_s in steps:
        now += wait_s
        happen(watch, what.removeprefix("silent "), why, now)
    assert watch.unanswered == 0


@given(STEPS, TRAITS)
def test_whoever_asks_last_gets_an_answer_or_an_apology(steps: Steps, traits: dict[str, Any]) -> None:
    watch, now = watchdog(**traits), START
    for what, why, wait_s in steps:
        now += wait_s
        happen(watch, what, why, now)
    watch.caller_stopped(now)
    watch.tool_answered(silent=False)
    for why in ("session", "tools"):
        watch.proceed(why, now)
    watch.caller_asked(now)
    alarms = [watch.tick(now + number * LIMIT_S) for number in range(1, len(LADDER) + 1)]
    assert "apologise" in [alarm.step for alarm in alarms if alarm is not None]
    assert not watch.owed


@given(STEPS, TRAITS, st.floats(0.6, 1.4), st.floats(0.0, 0.5))
def test_no_way_to_say_hello_hides_a_dead_server(
    steps: Steps, traits: dict[str, Any], spoke_s: float, jitter_s: float
) -> None:
    """Whatever happened before: who says something every three seconds is heard of within eight."""
    watch, now = watchdog(**{**traits, "dead_after_s": DEAD_S}), START
    for what, why, wait_s in steps:
        now += wait_s
        happen(watch, what, why, now)
    now += 1
    watch.caller_stopped(now)
    for why in ("session", "tools"):
        watch.proceed(why, now)
    watch.agent_spoke(now, audible=True)
    watch.message_came(now)
    began, spoken = now + jitter_s, 0
    for look in range(17):
        now = began + look / 2
        while began + 3 * (spoken // 2) + spoke_s * (spoken % 2) <= now:
            edge = began + 3 * (spoken // 2) + spoke_s * (spoken % 2)
            (watch.caller_stopped if spoken % 2 else watch.caller_started)(edge)
            spoken += 1
        if watch.tick(now) is not None:
            return
    raise AssertionError("nobody noticed")
