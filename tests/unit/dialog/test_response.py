"""How long the caller waits for the agent: what counts as an answer, and from when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.response import MAX_UNHEARD_GENERATIONS, MAX_WAIT_S, Response, ResponseTimer


def speak(timer: ResponseTimer, begin_s: float, end_s: float) -> None:
    """Have loud frames arrive; the last one at ``end_s``."""
    for frame in range(round((end_s - begin_s) / 0.02) + 1):
        timer.caller_spoke(begin_s + frame * 0.02)


def waited(timer: ResponseTimer, generation: int, now: float) -> float | None:
    response = timer.heard(generation, now)
    return None if response is None else round(response.seconds, 6)


def test_it_runs_from_the_last_loud_frame_to_the_first_audible_sample() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 3.0)
    timer.generation_started(1, 3.60)
    assert timer.heard(1, 3.625) == Response(0.625, typed=False)
    assert (timer.count, timer.last_s) == (1, 0.625)


def test_a_question_has_one_answer() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 3.0)
    timer.generation_started(1, 3.6)
    assert waited(timer, 1, 3.7) == 0.7
    assert waited(timer, 1, 3.9) is None
    timer.generation_started(2, 9.0)
    assert waited(timer, 2, 9.0) is None
    assert timer.count == 1


def test_an_agent_that_speaks_first_answers_nothing() -> None:
    timer = ResponseTimer()
    timer.generation_started(1, 1.0)
    assert timer.heard(1, 1.1) is None
    assert (timer.count, timer.last_s) == (0, None)


def test_what_was_typed_counts_from_its_arrival() -> None:
    timer = ResponseTimer()
    timer.caller_typed(5.0)
    timer.generation_started(1, 5.01)  # however fast the answer is
    assert timer.heard(1, 5.015625) == Response(0.015625, typed=True)


def test_after_a_barge_in_the_new_words_count() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 2.0)
    timer.generation_started(1, 2.5)
    assert waited(timer, 1, 2.5) == 0.5
    speak(timer, 4.0, 4.4)
    timer.generations_cut()
    speak(timer, 4.4, 5.0)
    assert waited(timer, 1, 5.1) is None  # a last packet of what was cut
    timer.generation_started(2, 5.7)
    assert waited(timer, 2, 5.75) == 0.75


def test_an_agent_that_is_not_interrupted_answers_with_what_it_begins_afterwards() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 2.0)
    timer.generation_started(1, 2.5)
    timer.heard(1, 2.5)
    speak(timer, 4.0, 5.0)
    assert waited(timer, 1, 5.2) is None
    timer.generation_started(2, 5.5)
    assert waited(timer, 1, 5.6) is None
    assert waited(timer, 2, 8.0) == 3.0


def test_an_answer_that_was_cut_before_it_was_heard_is_none() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 2.0)
    timer.generation_started(1, 2.5)
    timer.generations_cut()
    timer.generation_started(2, 3.5)
    assert waited(timer, 2, 3.6) == 1.6


def test_a_turn_without_a_sound_leaves_the_caller_waiting() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 2.0)
    timer.generation_started(1, 2.5)
    timer.generation_started(2, 9.5)  # nudged
    assert waited(timer, 2, 9.6) == 7.6


def test_speech_in_the_middle_of_the_callers_words_is_no_answer() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 2.0)
    timer.generation_started(1, 2.01)
    speak(timer, 2.02, 3.0)
    assert waited(timer, 1, 2.05) is None
    timer.generation_started(2, 3.5)
    assert waited(timer, 2, 3.5) == 0.5


def test_between_marks_the_last_loud_frame_counts_and_without_one_the_mark() -> None:
    timer = ResponseTimer()
    timer.caller_spoke(0.5)
    timer.turn_marked(1.0, starts=True)
    speak(timer, 1.2, 2.0)
    timer.turn_marked(2.02, starts=False)
    timer.generation_started(1, 2.03)  # at once: the mark says that all was said
    assert waited(timer, 1, 2.04) == 0.04

    timer.turn_marked(5.0, starts=True)
    timer.turn_marked(6.0, starts=False)
    timer.generation_started(2, 6.2)
    assert waited(timer, 2, 6.25) == 0.25


def test_what_nobody_waits_for_any_more_is_not_timed() -> None:
    timer = ResponseTimer()
    speak(timer, 1.0, 2.0)
    timer.generation_started(1, 2.0 + MAX_WAIT_S)
    assert waited(timer, 1, 2.5 + MAX_WAIT_S) is None

    timer.caller_typed(100.0)
    timer.generation_started(2, 100.5)
    timer.forget()
    timer.generation_started(3, 101.0)
    assert waited(timer, 3, 101.0) is None


STEPS = st.lists(
    st.sampled_from(["spoke", "typed", "start", "end", "generation", "heard", "cut", "forget"]), max_size=60
)


@given(STEPS)
def test_no_order_of_events_gives_a_figure_that_cannot_be(steps: list[str]) -> None:
    timer, now, generation, asked = ResponseTimer(), 0.0, 0, 0
    figures: list[float] = []
    for step in steps:
        now += 0.25
        match step:
            case "spoke":
                timer.caller_spoke(now)
            case "typed":
                timer.caller_typed(now)
            case "start" | "end":
                timer.turn_marked(now, starts=step == "start")
            case "generation":
                generation += 1
                timer.generation_started(generation, now)
            case "heard" if (response := timer.heard(generation, now)) is not None:
                figures.append(response.seconds)
            case "cut":
                timer.generations_cut()
            case "forget":
                timer.forget()
        asked += step in ("spoke", "typed", "end")
    assert len(figures) == timer.count <= min(asked, generation)
    assert all(0 < seconds <= MAX_WAIT_S for seconds in figures)
    assert len(timer._answers) <= MAX_UNHEARD_GENERATIONS
