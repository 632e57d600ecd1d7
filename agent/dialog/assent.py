"""Whether words are a clear yes, in the languages that callers speak. Pure.

Rules:
  1. A yes begins with a word of assent, after words that say nothing ("well", "oh"); a weak one ("okay") must stand
     alone or among others. What follows may say what is agreed to, within `MOST_WORDS`.
  2. It holds no word that takes it back or puts it off, in the language of the assent or in any ("no", "but",
     "wait", "maybe"), and asks nothing.
  3. A no is any word that refuses. A doubt puts off, sets a condition, or asks: it takes back a yes that was said
     before. Anything else is about something else.

It errs to the safe side: a yes that is not found costs another question, one that was none costs more. It does not
replace the model's own judgement, which has heard the tone of voice, but is asked besides.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from agent.dialog import assent_words as words

Assent = Literal["yes", "no", "doubt", "other"]

MOST_WORDS = 12
MOST_CHARS = 1000  # nobody reads more for a yes
_WORDS = re.compile(r"[^\W_\u0900-\u097f]+(?:['\u2019][^\W_]+)*|[\u0900-\u097f]+")  # Hindi with its marks
_QUESTION = re.compile(r"[?\uff1f\u061f\u037e]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")  # Japanese, Chinese, Thai: no spaces


def _set(*phrases: str) -> frozenset[tuple[str, ...]]:
    """Return phrases, which are written with a comma between them, as tuples of plain words."""
    return frozenset(
        tuple(_plain(phrase).split()) for line in phrases for phrase in line.split(",") if phrase.strip()
    )


def _plain(text: str) -> str:
    """Return a text without case, and without marks on Latin letters."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    parts = unicodedata.normalize("NFD", text)
    kept = (letter for letter in parts if not "\u0300" <= letter <= "\u036f")
    return unicodedata.normalize("NFC", "".join(kept))


_TABLE = [(_set(each.yes), _set(each.weak), _set(each.no), _set(each.off)) for each in words.LANGUAGES]
_EVERY_NO, _EVERY_OFF, _FILLERS = _set(words.EVERY_NO), _set(words.EVERY_OFF), _set(words.SAYS_NOTHING)
_LONGEST = 4  # words of a phrase


def assent(text: str) -> Assent:
    """Say whether what somebody said is a clear yes.

    Args:
        text: as it was transcribed, or typed.
    """
    if len(text) > MOST_CHARS:
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
    return "doubt" if doubt or len(said) > MOST_WORDS else "yes"


def _assent_unspaced(text: str, *, asks: bool) -> Assent:
    plain = text.strip()
    for harmless in words.NOT_NO:
        plain = plain.replace(harmless, "好" if harmless.startswith(("没", "沒")) else "はい")
    if any(word in plain for word in words.UNSPACED_NO):
        return "no"
    if asks or any(word in plain for word in words.UNSPACED_OFF) or len(plain) > 4 * MOST_WORDS:
        return "doubt"
    return "yes" if plain.lstrip(words.UNSPACED_FILLERS).startswith(words.UNSPACED_YES) else "other"


def _holds(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Say whether one of the phrases is anywhere in it."""
    return any(_starts(said[first:], phrases) for first in range(len(said)))


def _starts(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> int:
    """Return how many words the longest phrase has that it begins with; 0 if it begins with none."""
    return next((count for count in range(_LONGEST, 0, -1) if said[:count] in phrases and len(said) >= count), 0)


def _without(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what is left once the phrases that it begins with are taken off."""
    while count := _starts(said, phrases):
        said = said[count:]
    return said


def _without_all(said: tuple[str, ...], phrases: frozenset[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what is left besides the phrases and what says nothing."""
    return _without(said, phrases | _FILLERS)
