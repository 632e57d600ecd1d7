"""Make text valid Unicode, so that it can be sent on: pages may cut an emoji in two and send half of it. Pure."""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100  # no sensible JSON is nested so deeply


def valid_text(text: str) -> str:
    """Return the text with surrogate pairs joined and lone surrogates replaced by U+FFFD (Unicode, chapter 3.9).

    Text that is already valid is returned unchanged.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def valid_json(value: Any) -> Any:
    """Return a JSON value in which all strings, keys included, are valid Unicode; tuples become lists.

    Raises:
        RecursionError: it is nested more than `MAX_DEPTH` deep.
    """
    return _valid(value, MAX_DEPTH)


def _valid(value: Any, depth: int) -> Any:
    match value:
        case str():
            return valid_text(value)
        case dict() | list() | tuple() if depth == 0:
            raise RecursionError("the JSON is nested too deeply")
        case dict():
            return {_valid(key, depth - 1): _valid(inner, depth - 1) for key, inner in value.items()}
        case list() | tuple():
            return [_valid(inner, depth - 1) for inner in value]
        case _:
            return value


def read_json(text: str | bytes) -> Any:
    """Parse untrusted JSON and make all strings in it valid Unicode.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return valid_json(json.loads(text))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
