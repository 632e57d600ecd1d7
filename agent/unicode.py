"""Text that can be sent on: none can that holds half an emoji, as a page sends it that cuts one in two. Pure."""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100  # of what JSON holds: nothing that is meant is nested so deeply


def valid_text(text: str) -> str:
    """Return the text with U+FFFD for each half of a surrogate pair, and with pairs joined (Unicode, chapter 3.9).

    What is valid already is returned itself.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def valid_json(value: Any) -> Any:
    """Return what JSON can hold with all its texts valid, keys and values; tuples become lists.

    Raises:
        RecursionError: it is nested more than `MAX_DEPTH` deep.
    """
    return _valid(value, MAX_DEPTH)


def _valid(value: Any, depth: int) -> Any:
    match value:
        case str():
            return valid_text(value)
        case dict() | list() | tuple() if depth == 0:
            raise RecursionError("JSON that is nested too deeply")
        case dict():
            return {_valid(key, depth - 1): _valid(inner, depth - 1) for key, inner in value.items()}
        case list() | tuple():
            return [_valid(inner, depth - 1) for inner in value]
        case _:
            return value


def read_json(text: str | bytes) -> Any:
    """Return what a JSON text holds, all its texts valid: untrusted.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return valid_json(json.loads(text))
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
