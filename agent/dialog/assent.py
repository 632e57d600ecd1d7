"""Decide whether words are a clear yes, in the languages that callers speak. Pure.

Rules:
  1. A yes begins with a word of assent, possibly after filler words ("well", "oh"). A weak word of assent ("okay")
     counts only alone or with others of its kind. What follows may say what is agreed to, within `MAX_WORDS`.
  2. A yes contains no word that takes it back or puts it off, neither in the language of the assent nor one that
     does so in every language ("no", "but", "wait", "maybe"), and is not a question.
  3. Any word that refuses makes a no. Words that put off, set a condition or ask make a doubt, which takes back an
     earlier yes. Anything else is about another topic.

It errs on the safe side: a yes that is missed costs another question, while a false one may cost much more. It does
not replace the judgement of the model, which has heard the tone of voice, but comes on top of it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from agent.dialog import assent_words as words

Assent = Literal["yes", "no", "doubt", "other"]

MAX_WORDS = 12
MAX_CHARS = 1000
# Hindi words include their marks.
_WORDS = re.compile(r"[^\W_\u0900-\u097f]+(?:['\u2019][^\W_]+)*|[\u0900-\u097f]+")
_QUESTION = re.compile(r"[?\uff1f\u061f\u037e]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")  # Japanese, Chinese, Thai: no spaces


def _set(*phrases: str) -> frozenset[tuple[str, ...]]:
    """Return comma-separated phrases as tuples of plain words."""
    return frozenset(
        tuple(_plain(phrase).split()) for line in phrases for phrase in line.split(",") if phrase.strip()
    )


def _plain(text: str) -> str:
    """Return a text in lower case and without diacritics on Latin letters."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    parts = unicodedata.normalize("NFD", text)
    kept = (letter for letter in parts if not "\u0300" <= letter <= "\u036f")
    return unicodedata.normalize("NFC", "".join(kept))


_TABLE = [(_set(each.yes), _set(each.weak), _set(each.no), _set(each.off)) for each in words.LANGUAGES]
_EVERY_NO, _EVERY_OFF, _FILLERS = _set(words.EVERY_NO), _set(words.EVERY_OFF), _set(words.SAYS_NOTHING)
_MAX_PHRASE_WORDS = 4


def assent(text: str) -> Assent:
    """Return whether what somebody said is a clear yes, a no, a doubt, or something else.

    Args:
        text: as it was transcribed or typed.
    """
    if len(text) > MAX_CHARS:
        return "doubt"
    asks = _QUESTION.search(text) is not None
    if _UNSPACED.search(text):
        return _assent_unspaced(text, asks=asks)
    said = tuple(_WORDS.findall(_plain(text)))
    if _holds(said, _EVERY_NO):
        return "no"
    rest = _without(said, _FILLERS)
    agreeing, doubt = 0, asks or _holds(said, _EVERY_OFF)
    for yes, weak, no, off in _TABLE:
        if _starts(rest, yes) or (rest and not _without_all(rest, yes | weak)):
            if _holds(said, no):
                return "no"
            agreeing += 1
            doubt = doubt or _holds(said, off)
        elif _starts(rest, no):
            return "no"
    if not agreeing:
        return "doubt" if doubt or any(_holds(said, off) for *_, off in _TABLE) else "other"
    return "doubt" if doubt or len(said) > MAX_WORDS else "yes"


def _assent_unspaced(text: str, *, asks: bool) -> Assent:
    plain = text.strip()
    for harmless in words.NOT_NO:
        plain = plain.replace(harmless, "好" if harmless.startswith(("没", "沒")) else "はい")
    if any(word in plain for word in words.UNSPACED_NO):
        return "no"
    if asks or any(word in plain for word in words.UNSPACED_OFF) or len(plain) > 4 * MAX_WORDS:
        return "doubt"
    return "yes" if plain.lstrip(words.UNSPACED_FILLERS).startswith(words.UNSPACED_YES) else "other"


def _holds(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Return True if any of the phrases occurs anywhere in it."""
    return any(_starts(said[first:], phrases) for first in range(len(said)))


def _starts(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> int:
    """Return the number of words of the longest phrase that it begins with; 0 if it begins with none."""
    counts = range(_MAX_PHRASE_WORDS, 0, -1)
    return next((count for count in counts if said[:count] in phrases and len(said) >= count), 0)


def _without(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what is left after removing all phrases from the beginning."""
    while count := _starts(said, phrases):
        said = said[count:]
    return said


def _without_all(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what is left after removing all phrases and fillers from the beginning."""
    return _without(said, phrases | _FILLERS)
