"""Hide values that callers must not see in the arguments and results of tools. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from agent.unicode import read_json

MASK = "***"


def redacted(value: Any, masked: Collection[str]) -> Any:
    """Return a JSON value in which the values of some fields, at any depth, are replaced by `MASK`.

    Fields in JSON within a string, as many MCP servers return it, are replaced too.

    Args:
        value: arguments or a result.
        masked: names of fields; case, ``_`` and ``-`` are ignored.
    """
    return _redacted(value, {_plain(name) for name in masked}) if masked else value


def _redacted(value: Any, masked: set[str]) -> Any:
    match value:
        case dict():
            return {
                key: MASK if _plain(str(key)) in masked else _redacted(inner, masked)
                for key, inner in value.items()
            }
        case list() | tuple():
            return [_redacted(inner, masked) for inner in value]
        case str() if value.lstrip()[:1] in ("{", "["):
            return _redacted_text(value, masked)
        case _:
            return value


def _redacted_text(text: str, masked: set[str]) -> str:
    try:
        held = read_json(text)
    except ValueError:
        return text
    hidden = _redacted(held, masked)
    return text if hidden == held else json.dumps(hidden, ensure_ascii=False)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
