"""JSON schemas as models read them best: nothing referred to elsewhere, nothing said twice. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMED = ("properties", "patternProperties", "dependentSchemas")  # their keys are the application's
_AS_IS = ("default", "const", "enum", "examples", "required")
_DROPPED = ("title", "$defs")


class RecursiveSchemaError(Exception):
    """A schema contains itself."""


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same schema with its definitions put where they are used, and without titles.

    Raises:
        RecursiveSchemaError: one definition contains itself.
    """
    plain: dict[str, Any] = _plain(schema, schema.get("$defs", {}), ())
    return plain


def _plain(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_plain(item, definitions, within) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if name not in definitions:
            return dict(schema)  # not one of ours to resolve
        if name in within:
            raise RecursiveSchemaError(f"its type {name} contains itself, which the model cannot be told")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _plain({**definitions[name], **beside}, definitions, (*within, name))
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED:
            plain[key] = {name: _plain(inner, definitions, within) for name, inner in value.items()}
        elif key not in _DROPPED:
            plain[key] = value if key in _AS_IS else _plain(value, definitions, within)
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    return plain
