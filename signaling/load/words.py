"""Which of the caller's words are not in a transcript. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Return the words of a text, without case and punctuation."""
    return _WORD.findall(text.casefold())


def missing_words(said: str, transcribed: str) -> list[str]:
    """Return the words that were said and are not in the transcript, in that order."""
    wanted, found = words_of(said), words_of(transcribed)
    there: set[int] = set()
    for block in SequenceMatcher(None, wanted, found, autojunk=False).get_matching_blocks():
        there.update(range(block.a, block.a + block.size))
    return [word for index, word in enumerate(wanted) if index not in there]


def transcript(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return all that the service understood of the caller's speech: the newest revision of each turn."""
    turns: dict[str, str] = {}
    for message in messages:
        data = message["data"]
        if message["type"] == "user-transcription" and not data.get("typed"):
            turns[str(data.get("turn_id"))] = str(data.get("text", ""))
    return " ".join(turns.values())
