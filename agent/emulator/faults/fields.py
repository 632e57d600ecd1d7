"""What the fields of a fault may hold. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.emulator.moments import Moment

EVERY = "every"
FRESH = "fresh"
RESUMED = "resumed"

_MAX_BYTES = 64 << 20
_MAX_COUNT = 10_000
_MAX_TOKENS = 10**9
_MAX_NUMBER = 10**9


@dataclass(frozen=True)
class Rule:
    """What a field may hold."""

    allowed: str
    """In words, for error messages and the manual."""
    holds: Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _whole(value: Any, minimum: int, maximum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.allowed}, or null", lambda value: value is None or rule.holds(value))


def one_of(*words: str) -> Rule:
    return Rule("one of " + ", ".join(words), lambda value: isinstance(value, str) and value in words)


def count_or(*words: str) -> Rule:
    listed = " or ".join(f'"{word}"' for word in words)
    return Rule(f"1 or more, or {listed}", lambda value: COUNT.holds(value) or value in words)


COUNT = Rule("1 or more", lambda value: _whole(value, 1, _MAX_COUNT))
SECONDS = Rule("seconds", lambda value: _number(value) and value >= 0)
FACTOR = Rule("above 0", lambda value: _number(value) and value > 0)
SHARE = Rule("0 to 1", lambda value: _number(value) and 0 <= value <= 1)
TEXT = Rule("text", lambda value: isinstance(value, str))
OBJECT = Rule("a JSON object", lambda value: isinstance(value, dict))
FLAG = Rule("true or false", lambda value: isinstance(value, bool))
STATUS = Rule("400 to 599", lambda value: _whole(value, 400, 599))
BYTES = Rule("bytes, up to 64 MiB", lambda value: _whole(value, 1, _MAX_BYTES))
AMPLITUDE = Rule("0 to 32767", lambda value: _whole(value, 0, 32_767))
HZ = Rule("Hz, 20 to 12000", lambda value: _number(value) and 20 <= value <= 12_000)
CODE = Rule(
    "1000 to 1003, 1007 to 1014, or 3000 to 4999",  # RFC 6455 section 7.4: the others are never sent
    lambda value: _whole(value, 1000, 4999) and (value <= 1003 or 1007 <= value <= 1014 or value >= 3000),
)
TOKENS = Rule(
    "an object of modalities and tokens",
    lambda value: isinstance(value, dict) and all(name and _whole(n, 0, _MAX_TOKENS) for name, n in value.items()),
)
MOMENT = one_of(*Moment)
WHICH = count_or(EVERY)


def fault_field(default: Any, rule: Rule) -> Any:
    """A dataclass field with its rule; a dict is copied for each fault."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


def shown(value: Any) -> str:
    """A value as error messages show it."""
    return json.dumps(value, default=str)[:60]
