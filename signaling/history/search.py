"""Normalise words for storing and for searching, so that every database finds the same turns. Pure.

1. Case and the accents of Latin, Greek and Cyrillic letters do not matter: *Cafe* finds *CAFÉ*.
2. In scripts written without spaces, each character is a word, and a run of them in a query is a phrase.
3. Anything else that is not a letter, mark or digit ends a word. A query word that splits into several words
   (*foo-bar*, *it's*) is a phrase of them.
4. A turn is found if it has all the words of the query, in any order; words ``"in quotes"`` must occur as a phrase.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_WORDS = 16  # per query; further ones would only cost time
MAX_QUERY_CHARS = 500

_ASCII_WORD = re.compile("[a-z0-9]+")
_QUOTED = re.compile(r'"([^"]*)"|(\S+)')
_WITHOUT_SPACES = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"  # Han, supplementary planes
    "]"
)
_ACCENTED = ("LATIN", "GREEK", "CYRILLIC")


def words_of(text: str) -> list[str]:
    """Return the words of a text, as they are stored and compared."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKC", "".join(map(_without_accent, unicodedata.normalize("NFKC", text))))
    spaced = _WITHOUT_SPACES.sub(lambda found: f" {found[0]} ", folded.casefold())
    return "".join(character if _is_of_a_word(character) else " " for character in spaced).split()


def phrases_of(query: str) -> list[list[str]]:
    """Return a query's phrases, as lists of words; a turn must have all of them.

    Args:
        query: as the user typed it; untrusted. Anything beyond `MAX_QUERY_CHARS` and `MAX_WORDS` is ignored.
    """
    phrases, left = [], MAX_WORDS
    for quoted, word in _QUOTED.findall(query[:MAX_QUERY_CHARS]):
        words = words_of(quoted or word)[:left]
        left -= len(words)
        if words:
            phrases.append(words)
    return phrases


@lru_cache(maxsize=4096)
def _without_accent(character: str) -> str:
    if character.isascii():
        return character
    decomposed = unicodedata.normalize("NFD", character)
    if len(decomposed) > 1 and unicodedata.name(decomposed[0], "").startswith(_ACCENTED):
        return decomposed[0]
    return "" if "\u0300" <= character <= "\u036f" else character


@lru_cache(maxsize=4096)
def _is_of_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"
