"""Whether the agent's last words were heard: each kind of them, and what holds for any order of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.dialog.goodbye import Goodbye, Words

BEFORE = 3
"The newest generation when the goodbye is awaited."


def begun(generation: int) -> events.Event:
    return events.GenerationStarted(generation)


def whole(generation: int) -> events.Event:
    return events.GenerationCompleted(generation)


def turn(generation: int, reason: str | None = None) -> events.Event:
    return events.TurnCompleted(generation, reason)


def sounds(generation: int) -> events.Event:
    return events.AgentStartedSpeaking(generation)


def silent(generation: int) -> events.Event:
    return events.AgentStoppedSpeaking(generation)


def cut(generation: int) -> events.Event:
    return events.AgentInterrupted(generation, 100, 200)


def heard(words: Words, *what: events.Event, speaks: bool = False, writes: bool = False) -> list[bool]:
    """Return whether the words were heard: at first, and after each event."""
    goodbye = Goodbye(words, after=BEFORE, speaks=speaks, writes=writes)
    found = [goodbye.heard]
    for event in what:
        goodbye.note(event)
        found.append(goodbye.heard)
    return found


def test_what_a_tool_waits_for_is_what_is_being_said() -> None:
    assert heard("spoken") == [True]
    assert heard("spoken", silent(3), speaks=True) == [False, True]
    assert heard("spoken", sounds(4), silent(4)) == [True, False, True]


def test_agents_code_waits_for_the_open_turn_or_the_next_one() -> None:
    assert heard("turn", turn(3), silent(3), speaks=True) == [False, False, True]
    assert heard("turn", begun(4), sounds(4), silent(4), turn(4)) == [False, False, False, False, True]


def test_a_turn_that_begins_meanwhile_is_waited_for() -> None:
    assert heard("turn", turn(3), begun(4), turn(4)) == [False, True, False, True]


def test_a_turn_that_is_cut_off_ends_it_all_the_same_but_a_lost_session_does_not() -> None:
    assert heard("turn", cut(3), turn(3)) == [False, False, True]
    assert heard("turn", turn(3, "session_ended"), turn(4)) == [False, False, True]


def test_a_reply_is_the_first_whole_generation_that_sounds() -> None:
    assert heard("reply", begun(4), sounds(4), whole(4), silent(4)) == [False, False, False, False, True]
    assert heard("reply", begun(4), sounds(4), silent(4), whole(4)) == [False, False, False, False, True]


def test_what_was_said_before_is_no_reply() -> None:
    assert heard("reply", whole(3), turn(3), silent(3), speaks=True) == [False, False, False, False]


def test_a_reply_without_a_sound_is_none_unless_the_agent_writes() -> None:
    assert heard("reply", begun(4), turn(4)) == [False, False, False]
    assert heard("reply", begun(4), turn(4), writes=True) == [False, False, True]


def test_after_a_reply_that_was_interrupted_the_next_one_will_do() -> None:
    first = (begun(4), sounds(4), whole(4), cut(4), silent(4), turn(4))
    second = (begun(5), sounds(5), whole(5), silent(5))
    assert heard("reply", *first, *second) == [*[False] * 10, True]


EVENTS = st.lists(
    st.builds(
        lambda make, generation: make(generation),
        st.sampled_from([begun, whole, turn, sounds, silent, cut, lambda each: turn(each, "session_ended")]),
        st.integers(1, 7),
    ),
    max_size=30,
)


@given(EVENTS, st.sampled_from(["spoken", "turn", "reply"]), st.booleans(), st.booleans())
def test_last_words_are_heard_only_when_no_speech_is_sent_and_a_reply_only_after_it_was_asked_for(
    what: list[events.Event], words: Words, speaks: bool, writes: bool
) -> None:
    found = heard(words, *what, speaks=speaks, writes=writes)
    sent = [speaks]
    for event in what:
        started, stopped = (
            isinstance(event, kind) for kind in (events.AgentStartedSpeaking, events.AgentStoppedSpeaking)
        )
        sent.append(started or (sent[-1] and not stopped))
    assert not any(was_heard and is_sent for was_heard, is_sent in zip(found, sent, strict=True))
    if words == "reply":
        for index, was_heard in enumerate(found):
            later = [event for event in what[:index] if getattr(event, "generation", 0) > BEFORE]
            complete = [
                event for event in later if isinstance(event, events.GenerationCompleted | events.TurnCompleted)
            ]
            sounded = [event for event in later if isinstance(event, events.AgentStoppedSpeaking)]
            assert not was_heard or (complete and (sounded or writes))
    elif words == "spoken":
        assert found == [not is_sent for is_sent in sent]
