"""Text that can be sent on: none can that holds half an emoji, as a page sends it that cuts one in two. Pure."""

from __future__ import annotations

from typing import Any


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
    """Return what JSON can hold with all its texts valid: keys and values, at any depth; tuples become lists.

    Raises:
        RecursionError: it is nested too deeply.
    """
    match value:
        case str():
            return valid_text(value)
        case dict():
            return {valid_json(key): valid_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [valid_json(inner) for inner in value]
        case _:
            return value
