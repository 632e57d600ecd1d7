"""Convert JSON schemas to what the Live API accepts: no references, and no keywords that it does not know. Pure.

A FunctionDeclaration's ``parameters_json_schema`` accepts only a part of JSON Schema, which google-genai lists
under ``GenerateContentConfig.response_json_schema``. Everything else is rewritten where possible (``const`` as
``enum``, ``oneOf`` as ``anyOf``, ``allOf`` merged, a list of types as ``anyOf``), otherwise put into the
description (a pattern, for example), and otherwise left out. So a schema never becomes stricter but may become
looser, which does no harm: whoever runs the tool checks its arguments anyway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

MAX_SUBSCHEMAS = 4096  # a few lines that refer to each other can expand to more
MAX_DEPTH = 64

TOO_LARGE = "its schema is too large once all references are resolved"

Schema = dict[str, Any]

_TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
_FORMATS = ("date", "time", "date-time", "int32", "int64", "float", "double")
_WITH_ONE_SCHEMA = ("items", "additionalProperties")
_WITH_SCHEMA_LIST = ("prefixItems", "anyOf", "oneOf", "allOf")
_WITH_VALUE = (
    *("type", "format", "description", "default", "enum", "const", "required", "nullable", "propertyOrdering"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems"),
)
_TOLD_IN_DESCRIPTION = ("pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems")
_OF_TYPE = {
    "string": ("format", "minLength", "maxLength", "pattern"),
    "integer": ("format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "propertyOrdering"),
}
_TYPED = {key for keys in _OF_TYPE.values() for key in keys}
_LARGER_WINS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_SMALLER_WINS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_BESIDE_CHOICES = ("description", "default")


class SchemaError(Exception):
    """A schema cannot be declared to the model; the message says why."""


class RecursiveSchemaError(SchemaError):
    """A schema contains itself."""


def plain_schema(schema: Mapping[str, Any]) -> Schema:
    """Return the schema of a tool's arguments in the form that the Live API accepts.

    Args:
        schema: describes an object, in any draft of JSON Schema; untrusted. One that is already acceptable is
            returned unchanged.

    Raises:
        RecursiveSchemaError: it contains itself.
        SchemaError: it refers to something that it does not define, is too large, or does not describe an object.
    """
    return _Rewriting().of_object(_References(schema).followed())


# --- first step: references


class _References:
    """Replaces each reference in a schema by its target, and keeps only the keywords that matter here."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MAX_SUBSCHEMAS

    def followed(self) -> Schema:
        return self._follow(self._root, ())

    def _follow(self, schema: Any, within: tuple[Mapping[str, Any], ...]) -> Schema:
        """Return one schema without references.

        Args:
            schema: whatever was found where a schema should be.
            within: the schemas that contain this one or refer to it, outermost first.
        """
        if not isinstance(schema, Mapping):
            return {}  # true, or not a schema at all; false is handled where it has a meaning
        self._left -= 1
        if self._left < 0 or len(within) > MAX_DEPTH:
            raise SchemaError(TOO_LARGE)
        if any(outer is schema for outer in within):
            raise RecursiveSchemaError("its schema contains itself, which cannot be declared to the model")
        within = (*within, schema)
        found: Schema = {key: schema[key] for key in _WITH_VALUE if key in schema}
        for key in _WITH_SCHEMA_LIST:
            if isinstance(schema.get(key), list):
                found[key] = [self._follow(each, within) for each in schema[key] if each is not False]
        if isinstance(schema.get("items"), list):  # how drafts before 2020-12 write a tuple
            found["prefixItems"] = [self._follow(each, within) for each in schema["items"]]
        for key in _WITH_ONE_SCHEMA:
            value = schema.get(key)
            if isinstance(value, bool) and key == "additionalProperties":
                found[key] = value
            elif isinstance(value, Mapping) or value is True:
                found[key] = self._follow(value, within)
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            found["properties"] = {
                str(name): self._follow(each, within) for name, each in properties.items() if each is not False
            }
        if schema.get("patternProperties") and found.get("additionalProperties") is False:
            del found["additionalProperties"]  # the patterns do allow some
        reference = next((schema[key] for key in ("$ref", "$dynamicRef", "$recursiveRef") if key in schema), None)
        if reference is None:
            return found
        target = self._target(str(reference), within)
        if any(outer is target for outer in within):
            name = _last_part(str(reference)) or "(the whole schema)"
            raise RecursiveSchemaError(f"its type {name} contains itself, which cannot be declared to the model")
        return {**found, "allOf": [*found.get("allOf", ()), self._follow(target, within)]}

    def _target(self, reference: str, within: Sequence[Mapping[str, Any]]) -> Any:
        """Find a reference's target: in the schema with that ``$id``, in the root, or in a schema around it.

        The last is against the standard, but necessary where one schema was copied into another unchanged.
        """
        uri, _, fragment = reference.partition("#")
        fragment = unquote(fragment)
        holders = list(reversed(within))
        if uri:
            documents = [each for each in _schemas(self._root) if str(each.get("$id", "")).rstrip("#") == uri]
            documents = documents or [e for e in _schemas(self._root) if str(e.get("$id", "")).endswith(f"/{uri}")]
        else:
            documents = [*(each for each in holders if "$id" in each), self._root, *holders]
        for document in documents:
            if fragment and not fragment.startswith("/"):
                anchors = ("$anchor", "$dynamicAnchor")
                named = (each for each in _schemas(document) if any(each.get(key) == fragment for key in anchors))
                found: Any = next(named, None)
            else:
                found = _pointed_at(document, fragment)
            if isinstance(found, Mapping | bool):
                return found
        raise SchemaError(f"its schema refers to {reference[:100]!r}, which it does not define")


def _pointed_at(document: Any, pointer: str) -> Any:
    """Follow a JSON pointer (RFC 6901); None if nothing is there."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isascii() and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def _schemas(document: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a document, itself first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(document, Mapping):
        yield document
    inner = document.values() if isinstance(document, Mapping) else document if isinstance(document, list) else ()
    for each in inner:
        yield from _schemas(each, depth + 1)


def _last_part(reference: str) -> str:
    return reference.rpartition("/")[2].strip("#")[:100]


# --- second step: keywords


class _Rewriting:
    """Rewrites a schema without references, using only the Live API's keywords."""

    def __init__(self) -> None:
        self._left = MAX_SUBSCHEMAS  # counted again: keywords beside a choice are copied into each alternative

    def of_object(self, schema: Schema) -> Schema:
        """Return the schema of a tool's arguments as a single object, merging alternatives."""
        schema = self._plain(schema)
        if "anyOf" in schema:
            choices = [each for each in schema["anyOf"] if each.get("type", "object") == "object"]
            if not choices:
                raise SchemaError("its arguments are not an object")
            properties: dict[str, list[Schema]] = {}
            for choice in choices:
                for name, each in choice.get("properties", {}).items():
                    known = properties.setdefault(name, [])
                    known += [] if each in known else [each]
            always = [name for name in properties if all(name in each.get("required", ()) for each in choices)]
            schema = {
                **{key: value for key, value in schema.items() if key != "anyOf"},
                "type": "object",
                "properties": {name: self._choice({}, given) for name, given in properties.items()},
                **({"required": always} if always else {}),
            }
        if schema.get("type", "object") != "object":
            raise SchemaError("its arguments are not an object")
        return {**schema, "type": "object", "properties": schema.get("properties", {})}

    def _plain(self, schema: Schema) -> Schema:
        """Return a schema rewritten for the Live API."""
        self._left -= 1
        if self._left < 0:
            raise SchemaError(TOO_LARGE)
        schema = _with_all_of(schema)
        if "oneOf" in schema:
            one_of = schema.pop("oneOf")
            schema.setdefault("anyOf", one_of)
        if "const" in schema:
            schema["enum"] = [schema.pop("const")]
        nullable = schema.pop("nullable", False) is True
        choices = schema.pop("anyOf", None) or _by_type(schema)
        if nullable and (choices is not None or _kind(schema) is not None):
            words = {key: schema.pop(key) for key in _BESIDE_CHOICES if key in schema}
            choices, schema = [*(choices or [schema]), {"type": "null"}], words
        return self._single(schema) if choices is None else self._choice(schema, choices)

    def _choice(self, schema: Schema, choices: list[Schema]) -> Schema:
        """Return ``anyOf``; the API allows only text beside it, so all other keywords go into each choice."""
        beside = {key: schema[key] for key in _BESIDE_CHOICES if key in schema}
        shared = {key: value for key, value in schema.items() if key not in beside}
        told: list[Schema] = []
        for choice in choices:
            plain = self._plain(_merged(choice, shared) if shared else choice)
            for each in plain["anyOf"] if plain.keys() == {"anyOf"} else [plain]:
                if each not in told:
                    told.append(each)
        if beside.get("default", 0) is None and not any(each.get("type") in (None, "null") for each in told):
            del beside["default"]
        if len(told) == 1:
            return {**told[0], **beside}
        return {"anyOf": told, **beside}

    def _single(self, schema: Schema) -> Schema:
        """Return a schema that has one type, or allows any."""
        kind = _kind(schema)
        plain: Schema = {} if kind is None else {"type": kind}
        if isinstance(schema.get("description"), str) and schema["description"]:
            plain["description"] = schema["description"]
        if "default" in schema and (schema["default"] is not None or kind in (None, "null")):
            plain["default"] = schema["default"]
        extra = _say_enum(schema, plain, kind)
        keys = _TYPED if kind is None else _OF_TYPE.get(kind, ())
        given = {key: schema[key] for key in keys if key in schema}
        if kind == "integer":
            _close_bounds(given)
        for key, value in given.items():
            if key in _TOLD_IN_DESCRIPTION or (key == "format" and value not in _FORMATS):
                extra += [f"{key}: {_as_words(value)}"] if value is not False and value is not None else []
            elif (said := self._keyword(key, value, schema)) is not None:
                plain[key] = said
        if kind == "array" and "prefixItems" not in plain:
            plain.setdefault("items", {})
        if extra:
            plain["description"] = " ".join([*filter(None, [plain.get("description")]), f"({'; '.join(extra)})"])
        return plain

    def _keyword(self, key: str, value: Any, schema: Schema) -> Any:
        """Return the value of a keyword; None if it is to be left out."""
        match key, value:
            case (("items" | "additionalProperties"), dict()):
                return self._plain(value)
            case "prefixItems", list():
                return [self._plain(each) for each in value]
            case "properties", dict():
                return {name: self._plain(each) for name, each in value.items()}
            case (("required" | "propertyOrdering"), _):
                return [name for name in _names(value) if name in schema.get("properties", {})] or None
            case (("additionalProperties" | "format"), bool() | str()):
                return value
            case _:
                return value if _is_number(value) else None


def _with_all_of(schema: Schema) -> Schema:
    """Return a copy with its ``allOf`` merged in; its own keywords take precedence."""
    merged = dict(schema)
    for part in merged.pop("allOf", ()):
        merged = _merged(merged, _with_all_of(part))
    return merged


def _merged(first: Schema, second: Schema) -> Schema:
    """Return both combined; where they contradict each other, the first takes precedence."""
    merged = {**second, **first}
    for key in first.keys() & second.keys():
        one, other = first[key], second[key]
        if key == "properties":
            both = {
                name: {**each, "allOf": [*each.get("allOf", ()), other[name]]}
                for name, each in one.items()
                if name in other
            }
            merged[key] = {**other, **one, **both}
        elif key == "required":
            merged[key] = list(dict.fromkeys([*_names(one), *_names(other)]))
        elif key == "enum" and isinstance(one, list) and isinstance(other, list):
            merged[key] = [each for each in one if each in other] or one
        elif key == "type":
            types = [each for each in _types(first) if each in _types(second)]
            narrow = "integer" in (*_types(first), *_types(second)) and "number" in (
                *_types(first),
                *_types(second),
            )
            merged[key] = types or (["integer"] if narrow else one)
        elif key in _LARGER_WINS and _is_number(one) and _is_number(other):
            merged[key] = max(one, other)
        elif key in _SMALLER_WINS and _is_number(one) and _is_number(other):
            merged[key] = min(one, other)
    return merged


def _by_type(schema: Schema) -> list[Schema] | None:
    """Split a schema with several types into one per type; None if it has one type, or allows any."""
    types = _types(schema)
    values = schema.get("enum")
    if not types and isinstance(values, list):
        types = list(dict.fromkeys(_type_of(value) for value in values))
        if set(types) == {"integer", "number"}:
            types = ["number"]
    if len(types) < 2:
        return None
    choices = []
    for each in types:
        choice: Schema = {"type": each, **{key: schema[key] for key in _OF_TYPE.get(each, ()) if key in schema}}
        if isinstance(values, list):
            fitting = [value for value in values if _is_of_type(value, each)]
            if not fitting:
                continue
            choice["enum"] = fitting
        choices.append(choice)
    for key in ("type", "enum", *_TYPED):
        schema.pop(key, None)
    return choices


def _say_enum(schema: Schema, plain: Schema, kind: str | None) -> list[str]:
    """Put allowed values into ``plain`` if they are strings or numbers, else return them for the description."""
    values = schema.get("enum")
    if not isinstance(values, list) or not values or kind == "null":
        return []
    fitting = [value for value in values if kind is None or _is_of_type(value, kind)]
    if kind in ("string", "integer", "number") and fitting:
        plain["enum"] = fitting
        return []
    return [f"one of: {json.dumps(values, ensure_ascii=False, default=str)}"]


def _close_bounds(given: Schema) -> None:
    """Turn exclusive bounds of integers into inclusive ones."""
    for key, inside, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        bound: Any = given.get(key)
        if _is_number(bound) and float(bound).is_integer():
            del given[key]
            nearest = int(bound) + step
            given[inside] = (max if step > 0 else min)(nearest, given.get(inside, nearest))


def _kind(schema: Schema) -> str | None:
    types = _types(schema)
    if types:
        return types[0]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        kinds = {_type_of(value) for value in schema["enum"]}
        return "number" if kinds == {"integer", "number"} else kinds.pop() if len(kinds) == 1 else None
    return next((kind for kind in ("object", "array") if any(key in schema for key in _OF_TYPE[kind])), None)


def _types(schema: Schema) -> list[str]:
    given = schema.get("type")
    named = given if isinstance(given, list) else [given]
    lower = [each.lower() for each in named if isinstance(each, str)]  # Google's OpenAPI dialect writes STRING
    return list(dict.fromkeys(each for each in lower if each in _TYPES))


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case None:
            return "null"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def _is_of_type(value: Any, kind: str) -> bool:
    found = _type_of(value)
    return found == kind or (found == "integer" and kind == "number")


def _as_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
