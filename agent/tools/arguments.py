"""Convert a tool's arguments from the way models write them to the types in its schema. Pure.

Models write ``null`` for an argument they leave out, numbers as strings and strings as numbers, and lists and
objects as JSON in a string. Where the schema allows only one reading, that one is used. Everything else is left
unchanged, for the tool to refuse with an explanation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from agent.unicode import read_json

MAX_DEPTH = 64


def fitted(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, converted to the types of the schema where the reading is clear.

    Args:
        arguments: as the model gave them; untrusted, not modified.
        schema: what `agent.tools.schema.plain_schema` returns.
    """
    return _fit_object(arguments, schema, 0)


def _fit(value: Any, schema: Mapping[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        return value
    choices = schema.get("anyOf")
    if choices:
        if any(_fits(value, choice) for choice in choices):
            return next(_fit(value, choice, depth + 1) for choice in choices if _fits(value, choice))
        readings = (_fit(value, choice, depth + 1) for choice in choices)
        return next((read for read, choice in zip(readings, choices, strict=True) if _fits(read, choice)), value)
    if "enum" in schema:
        return _allowed(value, schema["enum"])
    match schema.get("type"), value:
        case (("object" | "array"), str()):
            read = _from_json(value)
            return _fit(read, schema, depth + 1) if isinstance(read, dict | list) else value
        case "object", Mapping():
            return _fit_object(value, schema, depth)
        case "array", list():
            return _fit_list(value, schema, depth)
        case (("integer" | "number"), str()):
            return _number(value, whole=schema["type"] == "integer")
        case "integer", float() if value.is_integer():
            return int(value)
        case "boolean", str() if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        case "string", int() if not isinstance(value, bool) and "format" not in schema:
            return str(value)
        case "null", str() if value.strip() == "null":
            return None
    return value


def _fit_object(given: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    rest = schema.get("additionalProperties")
    fitting: dict[str, Any] = {}
    for name, value in given.items():
        known = properties.get(name, rest if isinstance(rest, Mapping) else {})
        if value is None and name in properties and name not in required and not _fits(None, known):
            continue  # left out: its default applies
        fitting[name] = _fit(value, known, depth + 1)
    return fitting


def _fit_list(given: list[Any], schema: Mapping[str, Any], depth: int) -> list[Any]:
    first, others = schema.get("prefixItems", ()), schema.get("items", {})
    return [
        _fit(value, first[number] if number < len(first) else others, depth + 1)
        for number, value in enumerate(given)
    ]


def _fits(value: Any, schema: Mapping[str, Any], depth: int = 0) -> bool:
    """Return True if a schema allows a value, checked only as far as needed to tell choices apart."""
    if depth > MAX_DEPTH:
        return True
    if "anyOf" in schema:
        return any(_fits(value, choice, depth + 1) for choice in schema["anyOf"])
    if "enum" in schema and not any(value == each and type(value) is type(each) for each in schema["enum"]):
        return False
    match schema.get("type"), value:
        case "object", Mapping():
            known = schema.get("properties", {})
            if any(name not in value for name in schema.get("required", ())):
                return False
            if schema.get("additionalProperties") is False and any(name not in known for name in value):
                return False
            return all(_fits(value[name], known[name], depth + 1) for name in value if name in known)
        case "array", list():
            return all(_fits(each, schema.get("items", {}), depth + 1) for each in value)
        case "string", str():
            return True
        case "boolean", bool():
            return True
        case (("integer" | "number"), bool()):
            return False
        case ("integer", int()) | ("number", int() | float()) | ("null" | None, None):
            return True
    return schema.get("type") is None


def _allowed(value: Any, allowed: Sequence[Any]) -> Any:
    """Return the allowed value that is meant: ``"2"`` may stand for 2, and 2 for ``"2"``."""
    if isinstance(value, bool):
        return value
    read = _from_json(value) if isinstance(value, str) else value
    exact = (each for each in allowed if each == value)
    as_number = (each for each in allowed if _is_number(each) and _is_number(read) and each == read)
    as_text = (
        each for each in allowed if _is_number(value) and isinstance(each, str) and _from_json(each) == value
    )
    return next(chain(exact, as_number, as_text), value)


def _number(text: str, *, whole: bool) -> Any:
    """Return the number in a text, or the text itself if it is not a number."""
    read = _from_json(text)
    if not _is_number(read) or not math.isfinite(read):
        return text
    if not whole or isinstance(read, int):
        return read
    return int(read) if read.is_integer() else text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _from_json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return None
