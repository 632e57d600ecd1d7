"""A yes is asked for, waited for, must be clear, and counts once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.confirm import SAME_SENTENCE_S, YES_EXPIRES_AFTER_S, Confirmations, Given


class Talk:
    """A caller, and a model that calls tools."""

    def __init__(self, *, transcribed: bool = True) -> None:
        self.asked = Confirmations(transcribed=transcribed)
        self.turns: list[tuple[str, str]] = []
        self.spoke_at = 0.0
        self.now = 10.0

    def say(self, text: str, *, same_turn: bool = False) -> None:
        self.now += 5.0
        self.spoke_at = self.now
        if same_turn:
            name, before = self.turns.pop()
            self.turns.append((name, f"{before} {text}"))
        else:
            self.turns.append((f"t{len(self.turns)}", text))

    def call(self, name: str = "pay", **arguments: Any) -> Given:
        self.now += 0.5
        return self.asked.given(name, arguments, self.turns, caller_spoke_at=self.spoke_at, now=self.now)


def test_it_runs_after_a_yes_and_the_next_time_asks_again() -> None:
    talk = Talk()
    talk.say("pay five euros")
    assert talk.call(eur=5) == "asked"
    assert talk.call(eur=5) == "asked", "nobody has said anything"
    talk.say("yes please")
    assert talk.call(eur=5) == "yes"
    assert talk.call(eur=5) == "asked"


@pytest.mark.parametrize(
    ("said", "given"),
    [
        (["no"], "no"),
        (["Yes, but not today"], "no"),
        (["Lieber nicht."], "no"),
        (["maybe"], "unclear"),
        (["hm", "let me think"], "unclear"),
        (["What's the weather?"], "unclear"),
        (["tell me a story"], "unclear"),
        (["yes", "wait"], "unclear"),
        (["yes", "no"], "no"),
        (["no", "yes"], "no"),
        (["what does it cost?", "yes"], "yes"),
        (["yes", "and the weather in Rome"], "yes"),
        (["ja bitte"], "yes"),
        (["はい"], "yes"),
    ],
)
def test_only_a_clear_yes_is_one(said: list[str], given: Given) -> None:
    talk = Talk()
    talk.say("pay five euros")
    talk.call(eur=5)
    for words in said:
        talk.say(words)
    assert talk.call(eur=5) == given


def test_after_a_no_the_caller_is_asked_anew() -> None:
    talk = Talk()
    talk.call(eur=5)
    talk.say("no")
    assert talk.call(eur=5) == "no"
    assert talk.call(eur=5) == "asked"
    talk.say("yes")
    assert talk.call(eur=5) == "yes"


def test_after_an_unclear_answer_a_yes_will_do() -> None:
    talk = Talk()
    talk.call(eur=5)
    talk.say("maybe")
    assert talk.call(eur=5) == "unclear"
    talk.say("yes")
    assert talk.call(eur=5) == "yes"


def test_what_was_said_before_is_no_yes() -> None:
    talk = Talk()
    talk.say("yes yes, pay five euros")
    assert talk.call(eur=5) == "asked"
    assert talk.call(eur=5) == "asked"
    talk.say("right away", same_turn=True)
    assert talk.call(eur=5) == "unclear"
    talk.say("yes", same_turn=True)
    assert talk.call(eur=5) == "unclear", "in one breath with what was no yes"
    talk.say("yes")
    assert talk.call(eur=5) == "yes"


def test_a_yes_to_one_thing_is_none_to_another() -> None:
    talk = Talk()
    assert talk.call("erase") == "asked"
    talk.now += SAME_SENTENCE_S
    assert talk.call("book") == "asked"
    talk.say("yes")
    assert talk.call("erase") == "unheard"
    assert talk.call("book") == "yes"
    assert talk.call("book", seats=2) == "asked"


def test_a_yes_to_two_things_of_one_sentence_is_one_to_both() -> None:
    talk = Talk()
    assert (talk.call("book"), talk.call("pay")) == ("asked", "asked")
    talk.say("yes")
    assert (talk.call("book"), talk.call("pay"), talk.call("pay")) == ("yes", "yes", "asked")


def test_silence_and_noise_are_no_yes() -> None:
    talk = Talk()
    talk.call(eur=5)
    talk.now += 20
    assert talk.call(eur=5) == "asked"
    talk.spoke_at = talk.now
    assert talk.call(eur=5) == "unheard"


def test_a_late_yes_is_none() -> None:
    talk = Talk()
    talk.call(eur=5)
    talk.say("yes")
    talk.now += YES_EXPIRES_AFTER_S
    assert talk.call(eur=5) == "asked"


def test_where_no_words_come_the_model_judges() -> None:
    talk = Talk(transcribed=False)
    assert talk.call(eur=5) == "asked"
    assert talk.call(eur=5) == "asked"
    talk.spoke_at = talk.now + 0.1
    talk.now += 1
    assert talk.call(eur=5) == "yes"
    talk.call(eur=6)
    talk.say("no")  # typed
    assert talk.call(eur=6) == "no"


WORDS = st.sampled_from(["yes", "no", "hm", "maybe", "what is it?", "ja", ""])


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | WORDS), max_size=60))
def test_nothing_runs_without_a_yes_since_it_was_asked_for(steps: list[tuple[int, str | None]]) -> None:
    talk = Talk()
    since: dict[int, list[str]] = {}
    for number, words in steps:
        if words is not None:
            talk.say(words)
            for said in since.values():
                said.append(words)
        given = talk.call(n=number)
        if given == "yes":
            assert {"yes", "ja"} & set(since[number])
            assert "no" not in since[number]
        if given in ("yes", "no"):
            del since[number]
        else:
            since.setdefault(number, [])
