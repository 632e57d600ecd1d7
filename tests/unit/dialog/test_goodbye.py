"""When the last words of a call were heard, whoever ends it."""

from __future__ import annotations

import pytest

from agent import events
from agent.dialog.goodbye import Goodbye, Words

STARTS, STOPS = events.AgentStartedSpeaking(3), events.AgentStoppedSpeaking(3)


def goodbye(words: Words, *happened: events.Event, speaks: bool = False) -> Goodbye:
    """Ask for the last words after generation 2, and have this happen."""
    asked = Goodbye(words, after=2, speaks=speaks)
    for event in happened:
        asked.note(event)
    return asked


def test_what_is_being_said_is_heard_to_its_end() -> None:
    assert goodbye("spoken").heard
    assert not goodbye("spoken", speaks=True).heard
    assert goodbye("spoken", events.AgentStoppedSpeaking(2), speaks=True).heard
    assert not goodbye("spoken", STARTS).heard


@pytest.mark.parametrize("reason", [None, "NEED_MORE_INPUT"])
def test_a_turn_is_heard_once_it_is_complete_and_silent(reason: str | None) -> None:
    complete = events.TurnCompleted(2, reason)
    assert not goodbye("turn").heard
    assert not goodbye("turn", events.GenerationCompleted(2)).heard  # a tool may be called in its turn
    assert goodbye("turn", complete).heard
    assert not goodbye("turn", complete, speaks=True).heard
    assert goodbye("turn", complete, events.AgentStoppedSpeaking(2), speaks=True).heard


def test_a_turn_that_ended_with_its_session_is_begun_again() -> None:
    assert not goodbye("turn", events.TurnCompleted(2, "session_ended")).heard


def test_a_turn_that_follows_at_once_is_heard_too() -> None:
    asked = goodbye("turn", STARTS, events.TurnCompleted(2, None), events.GenerationStarted(3), STOPS)
    assert not asked.heard
    asked.note(events.TurnCompleted(3, None))
    assert asked.heard


def test_a_reply_wants_a_sound() -> None:
    assert not goodbye("reply", events.TurnCompleted(3, None)).heard
    assert goodbye("reply", STARTS, events.GenerationCompleted(3), STOPS).heard
    assert not goodbye("reply", events.TurnCompleted(2, None), events.AgentStoppedSpeaking(2), speaks=True).heard
    written = Goodbye("reply", after=2, speaks=False, writes=True)
    written.note(events.TurnCompleted(3, None))
    assert written.heard


def test_a_reply_that_is_interrupted_is_none() -> None:
    asked = goodbye("reply", STARTS, events.GenerationCompleted(3), STOPS, events.AgentInterrupted(3, 1, 1))
    assert not asked.heard
    for event in (events.AgentStartedSpeaking(4), events.TurnCompleted(4, None), events.AgentStoppedSpeaking(4)):
        asked.note(event)
    assert asked.heard
