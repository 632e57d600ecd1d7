"""Which tool calls the caller has said yes to. Pure.

Rules:
  1. The first call of a tool that requires a yes is not carried out; the model is told to ask the caller.
  2. When the model repeats the call with the same arguments, it is carried out if the caller has begun to say
     something since, not too much time has passed, and the caller's last words on it are a clear yes
     (`agent.dialog.assent`). Silence is not a yes, nor are words from before the model was told to ask, or from
     after it was told to ask about something else.
  3. A no ends the matter: the next call starts again at rule 1. A doubt cancels a yes that came before it.
  4. A yes is valid once.
  5. If the caller's words are not transcribed, the model alone judges what was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.dialog.assent import assent

YES_EXPIRES_AFTER_S = 120.0
MAX_OPEN_QUESTIONS = 16
SAME_SENTENCE_S = 3.0  # the model asks about calls that come within this time in one sentence

Given = Literal["yes", "asked", "no", "unclear", "unheard"]
"""``asked``: the model is to ask the caller. ``unheard``: the caller spoke, but the words are not known yet."""

REQUESTS: dict[Given, str] = {
    "asked": (
        "Not done yet. Tell the caller what you are about to do and ask whether to go ahead. "
        "Only if the caller says yes, call again with the same arguments."
    ),
    "no": "Not done: the caller did not say yes. Do not call this again unless the caller asks for it again.",
    "unclear": (
        "Not done yet: the caller has not clearly said yes. Ask again for a clear yes or no. "
        "Only if the caller says yes, call again with the same arguments."
    ),
}
REQUESTS["unheard"] = REQUESTS["unclear"]
"What the model is told instead of a result."

Turns = Sequence[tuple[str, str]]
"""The caller's turns, oldest first: the id of each, and its words so far."""


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    arguments: Mapping[str, Any] = field(repr=False)
    at: float
    turn: str  # name of the caller's newest turn at that time; "" if there was none
    length: int  # characters of its words at that time


class Confirmations:
    """The questions that the caller was asked, or is to be asked.

    Args:
        transcribed: whether the caller's words are transcribed.
    """

    def __init__(self, *, transcribed: bool = True) -> None:
        self._transcribed = transcribed
        self._asked: list[_Asked] = []

    def given(
        self, name: str, arguments: Mapping[str, Any], turns: Turns, *, caller_spoke_at: float, now: float
    ) -> Given:
        """Return whether a call may be carried out; a new call is remembered as one to ask the caller about.

        Args:
            name: the tool's name.
            arguments: its arguments, already checked.
            turns: the caller's turns.
            caller_spoke_at: when the caller last began to speak, or typed something, in monotonic seconds.
            now: monotonic seconds.
        """
        self._asked = [asked for asked in self._asked if now - asked.at <= YES_EXPIRES_AFTER_S]
        same = next((asked for asked in self._asked if (asked.name, asked.arguments) == (name, arguments)), None)
        if same is None:
            turn, words = turns[-1] if turns else ("", "")
            self._asked = [*self._asked, _Asked(name, arguments, now, turn, len(words))][-MAX_OPEN_QUESTIONS:]
            return "asked"
        if caller_spoke_at <= same.at:
            return "asked"
        if any(assent(words) == "no" for words in said_between(turns, same, None)):
            self._asked.remove(same)
            return "no"
        given = self._judge(said_between(turns, same, self._next(same)))
        if given == "yes":
            self._asked.remove(same)
        return given

    def _next(self, asked: _Asked) -> _Asked | None:
        """Return the next question that was not part of the same sentence."""
        return next((each for each in self._asked if each.at > asked.at + SAME_SENTENCE_S), None)

    def _judge(self, said: Sequence[str]) -> Given:
        if not said:
            return "unheard" if self._transcribed else "yes"
        given: Given = "unclear"
        for words in said:
            match assent(words):
                case "yes":
                    given = "yes"
                case "doubt":
                    given = "unclear"
        return given


def said_between(turns: Turns, after: _Asked, before: _Asked | None) -> list[str]:
    """Return what the caller said after one question and before the next, if any, without empty texts."""
    first, cut = _position(turns, after, 0)
    last, end = (len(turns), 0) if before is None else _position(turns, before, len(turns))
    said = []
    for number in range(first, min(last + 1, len(turns))):
        words = turns[number][1]
        words = words[cut if number == first else 0 : end if number == last else len(words)]
        if words.strip():
            said.append(words.strip())
    return said


def _position(turns: Turns, asked: _Asked, otherwise: int) -> tuple[int, int]:
    """Return how far the caller's words went when something was asked: the turn, and the characters in it."""
    numbers = (number for number, (name, _) in enumerate(turns) if name == asked.turn)
    number = next(numbers, None)
    return (otherwise if asked.turn else 0, 0) if number is None else (number, asked.length)
