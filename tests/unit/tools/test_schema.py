"""Tool schemas keep their meaning in terms that the Live API takes, and never become stricter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.tools.declare import Tool
from agent.tools.schema import MAX_SUBSCHEMAS, RecursiveSchemaError, SchemaError, plain_schema

TAKEN = {
    # google-genai names these at GenerateContentConfig.response_json_schema, and makes `default` itself
    *(
        "type",
        "format",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
    ),
    *("anyOf", "properties", "additionalProperties", "required", "propertyOrdering", "default"),
    *("minLength", "maxLength"),  # fields of the Live API's own Schema
}
Schema = dict[str, Any]


def check_words(schema: Any) -> None:
    """Hold each schema in a schema against what the Live API takes."""
    assert isinstance(schema, dict)
    assert schema.keys() <= TAKEN
    if "anyOf" in schema:
        assert schema.keys() <= {"anyOf", "description", "default"}
    assert isinstance(schema.get("type", ""), str)
    assert all(isinstance(value, str | int | float) for value in schema.get("enum", ()))
    assert schema.get("format", "date") in ("date", "time", "date-time", "int32", "int64", "float", "double")
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    inner = [*schema.get("anyOf", ()), *schema.get("prefixItems", ()), *schema.get("properties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for each in inner:
        check_words(each)


def of(name: str, schema: Schema) -> Schema:
    """Return the plain schema of one argument."""
    plain = plain_schema({"type": "object", "properties": {name: schema}})
    check_words(plain)
    found: Schema = plain["properties"][name]
    return found


def properties(schema: Schema) -> Schema:
    plain = plain_schema(schema)
    check_words(plain)
    found: Schema = plain["properties"]
    return found


STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("reference", "elsewhere"),
    [
        ("#/$defs/P", {"$defs": {"P": STRING}}),
        ("#/definitions/P", {"definitions": {"P": STRING}}),
        ("#/properties/q", {}),
        ("#/definitions/a~1b", {"definitions": {"a/b": STRING}}),
        ("#/definitions/m~0n", {"definitions": {"m~n": STRING}}),
        ("#/definitions/m~01", {"definitions": {"m~1": STRING}}),
        ("#/definitions/two%20words", {"definitions": {"two words": STRING}}),
        ("#/definitions/50%25", {"definitions": {"50%": STRING}}),
        ("#/definitions/", {"definitions": {"": STRING}}),
        ("#/$defs/A/$defs/B", {"$defs": {"A": {"$defs": {"B": STRING}}}}),
        ("#/components/schemas/P", {"components": {"schemas": {"P": STRING}}}),
        ("#/definitions/P/anyOf/1", {"definitions": {"P": {"anyOf": [INTEGER, STRING]}}}),
        ("#/definitions/A", {"definitions": {"A": {"$ref": "#/definitions/B"}, "B": STRING}}),
        ("#here", {"$defs": {"P": {"$anchor": "here", **STRING}}}),
        ("https://example.com/p", {"$defs": {"P": {"$id": "https://example.com/p", **STRING}}}),
        ("https://example.com/o#/$defs/P", {"$id": "https://example.com/o", "$defs": {"P": STRING}}),
        ("#/$defs/P", {"$id": "https://example.com/o", "$defs": {"P": STRING}}),
    ],
)
def test_a_reference_is_followed(reference: str, elsewhere: Schema) -> None:
    schema = {"type": "object", "properties": {"q": STRING, "p": {"$ref": reference}}, **elsewhere}
    assert properties(schema) == {"q": STRING, "p": STRING}


def test_a_whole_schema_may_be_a_reference() -> None:
    definition = {"type": "object", "properties": {"n": INTEGER}, "required": ["n"]}
    assert plain_schema({"$ref": "#/$defs/In", "$defs": {"In": definition}}) == definition


def test_definitions_of_a_schema_that_was_put_into_another_are_found_where_they_are() -> None:
    inner = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "$defs": {"N": INTEGER}}
    assert of("p", inner) == {"type": "object", "properties": {"n": INTEGER}}


def test_what_stands_beside_a_reference_counts() -> None:
    schema = {
        "properties": {"p": {"$ref": "#/$defs/P", "description": "Mine."}},
        "$defs": {"P": {**STRING, "description": "Its."}},
    }
    assert properties(schema) == {"p": {"type": "string", "description": "Mine."}}


def test_names_of_arguments_and_values_are_no_keywords() -> None:
    named = {"title": {"title": "T", **STRING}, "default": STRING, "properties": STRING, "not": STRING}
    schema = {"title": "X", "type": "object", "properties": named, "required": ["title"]}
    assert plain_schema(schema) == {
        "type": "object",
        "properties": {"title": STRING, "default": STRING, "properties": STRING, "not": STRING},
        "required": ["title"],
    }
    assert of("p", {"type": "object", "default": {"$defs": 1}}) == {"type": "object", "default": {"$defs": 1}}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"p": {"$ref": "#"}}},
        {"properties": {"p": {"$recursiveRef": "#"}}},
        {"properties": {"p": {"properties": {"q": {"$ref": "#/properties/p"}}}}},
        {"properties": {"p": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"items": {"$ref": "#/$defs/N"}}}},
        {"properties": {"p": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"$ref": "#/$defs/N"}}},
        {
            "properties": {"p": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"anyOf": [{"$ref": "#/$defs/A"}]}},
        },
    ],
)
def test_a_schema_that_contains_itself_is_refused_with_the_tools_name(schema: Schema) -> None:
    with pytest.raises(RecursiveSchemaError, match="contains itself"):
        plain_schema(schema)
    with pytest.raises(ConfigError, match=r"^tool walk: .* contains itself"):
        Tool("walk", "Walk.", schema, print)


def test_a_definition_that_is_not_used_may_contain_itself() -> None:
    assert plain_schema({"$defs": {"N": {"items": {"$ref": "#/$defs/N"}}}}) == {"type": "object", "properties": {}}


@pytest.mark.parametrize("reference", ["#/definitions/P", "#nowhere", "https://example.com/p", "other.json", 7])
def test_a_reference_to_nothing_is_refused(reference: Any) -> None:
    with pytest.raises(SchemaError, match="does not define"):
        plain_schema({"properties": {"p": {"$ref": reference}}})


def test_a_few_lines_cannot_become_endless() -> None:
    doubling: Schema = {
        f"D{n}": {"properties": {c: {"$ref": f"#/$defs/D{n + 1}"} for c in "ab"}} for n in range(60)
    }
    deep: Schema = {}
    choosing: Schema = {}
    for _ in range(30):
        deep = {"items": deep, "allOf": [{"items": {}}]}
        choosing = {
            "properties": {"p": choosing},
            "anyOf": [{"required": [c], "title": c} for c in "ab"] + [{"properties": {c: {}}} for c in "ab"],
        }
    for endless in ({"properties": {"p": {"$ref": "#/$defs/D0"}}, "$defs": {**doubling, "D60": STRING}}, choosing):
        with pytest.raises(SchemaError, match="too large"):
            plain_schema(endless)
    for _ in range(MAX_SUBSCHEMAS):
        deep = {"items": deep}
    with pytest.raises(SchemaError, match="too large"):
        plain_schema({"properties": {"p": deep}})


NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 3, "type": "integer"}, {"type": "integer", "enum": [3]}),
        ({"const": None}, NULL),
        ({"const": True}, {"type": "boolean", "description": "(one of: [true])"}),
        ({"enum": [1, 2, 3]}, {"type": "integer", "enum": [1, 2, 3]}),
        ({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
        ({"enum": ["a", None]}, {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]}),
        ({"enum": ["a", 1]}, {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]}),
        (
            {"type": ["string", "integer"], "minLength": 2, "minimum": 3, "description": "D."},
            {"anyOf": [{"type": "string", "minLength": 2}, {"type": "integer", "minimum": 3}], "description": "D."},
        ),
        ({"type": ["string"]}, STRING),
        ({"type": "STRING"}, STRING),
        ({"type": "string", "nullable": True}, {"anyOf": [STRING, NULL]}),
        ({"anyOf": [STRING, INTEGER], "nullable": True}, {"anyOf": [STRING, INTEGER, NULL]}),
        ({"oneOf": [STRING, INTEGER]}, {"anyOf": [STRING, INTEGER]}),
        ({"anyOf": [STRING]}, STRING),
        ({"anyOf": [STRING, {**STRING, "title": "T"}]}, STRING),
        ({"anyOf": [{"anyOf": [STRING, NULL]}, INTEGER]}, {"anyOf": [STRING, NULL, INTEGER]}),
        ({"anyOf": [STRING, INTEGER], "default": None}, {"anyOf": [STRING, INTEGER]}),
        ({"type": "integer", "default": None}, INTEGER),
        ({"allOf": [STRING, {"minLength": 2}, {"minLength": 1}]}, {"type": "string", "minLength": 2}),
        ({"allOf": [{"type": ["string", "null"]}, STRING]}, STRING),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": STRING, "c": {"type": "number"}}, "required": ["a"]},
                    {"properties": {"b": INTEGER, "c": {"minimum": 1}}, "required": ["b"]},
                ]
            },
            {
                "type": "object",
                "properties": {"a": STRING, "b": INTEGER, "c": {"type": "number", "minimum": 1}},
                "required": ["a", "b"],
            },
        ),
        (
            {
                "type": "object",
                "properties": {"a": STRING, "b": STRING},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            {
                "anyOf": [
                    {"type": "object", "properties": {"a": STRING, "b": STRING}, "required": ["a"]},
                    {"type": "object", "properties": {"a": STRING, "b": STRING}, "required": ["b"]},
                ]
            },
        ),
        ({"type": "string", "pattern": "^(?!a)"}, {"type": "string", "description": "(pattern: ^(?!a))"}),
        (
            {"type": "string", "format": "email", "description": "Where."},
            {"type": "string", "description": "Where. (format: email)"},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
            {"type": "integer", "minimum": 1, "maximum": 8},
        ),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": 0}, {"type": "integer", "minimum": 5}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "description": "(exclusiveMinimum: 0)"}),
        ({"type": "integer", "multipleOf": 5}, {"type": "integer", "description": "(multipleOf: 5)"}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": "array", "items": [STRING, INTEGER]}, {"type": "array", "prefixItems": [STRING, INTEGER]}),
        ({"type": "object", "required": ["a"]}, {"type": "object"}),
        (
            {"type": "object", "patternProperties": {"^x": STRING}, "additionalProperties": False},
            {"type": "object"},
        ),
        (
            {"type": "object", "additionalProperties": {"const": 1}},
            {"type": "object", "additionalProperties": {"type": "integer", "enum": [1]}},
        ),
        ({"if": STRING, "then": STRING, "not": STRING, "$comment": "c", "examples": [1], "x-mine": 1}, {}),
        ({"type": "string", "minLength": "many", "description": 7}, STRING),
        (True, {}),
    ],
)
def test_what_the_live_api_has_no_word_for_is_said_otherwise(given: Any, plain: Schema) -> None:
    assert of("p", given) == plain


def test_a_choice_of_arguments_is_told_as_one_object() -> None:
    call = {"type": "object", "properties": {"to": STRING, "n": INTEGER}, "required": ["to", "n"]}
    mail = {"type": "object", "properties": {"to": {"const": "all"}, "text": STRING}, "required": ["to"]}
    assert plain_schema({"oneOf": [call, mail], "discriminator": {"mapping": {"call": "#/$defs/Call"}}}) == {
        "type": "object",
        "properties": {
            "to": {"anyOf": [STRING, {"type": "string", "enum": ["all"]}]},
            "n": INTEGER,
            "text": STRING,
        },
        "required": ["to"],
    }


@pytest.mark.parametrize("schema", [{"type": "array"}, {"anyOf": [STRING, INTEGER]}])
def test_arguments_are_an_object(schema: Schema) -> None:
    with pytest.raises(SchemaError, match="not an object"):
        plain_schema(schema)


@pytest.mark.parametrize("name", ["", "look up", "9th", "a/b", "größe", "x" * 65])
def test_a_tool_by_hand_has_a_name_that_the_live_api_takes(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a tool's name"):
        Tool(name, "", {}, print)


def test_a_tool_by_hand_is_declared_without_references() -> None:
    made = Tool(
        "book", "Book.", {"properties": {"n": {"$ref": "#/definitions/N"}}, "definitions": {"N": INTEGER}}, print
    )
    assert made.declaration()["parameters_json_schema"] == {"type": "object", "properties": {"n": INTEGER}}
    assert made.parse({"n": "2"}) == {"n": 2}


# --- random schemas, each with a value that it allows


@st.composite
def leaves(draw: st.DrawFn) -> tuple[Schema, Any]:
    value: Any = draw(st.text(max_size=4) | st.integers(-99, 99) | st.booleans() | st.none())
    kind = {str: "string", int: "integer", bool: "boolean", type(None): "null"}[type(value)]
    ways: list[Schema] = [
        {"type": kind},
        {"type": [kind, "array"]},
        {"const": value},
        {"enum": ["z", value, 7.5]},
        {},
    ]
    if isinstance(value, str):
        ways += [{"type": "string", "maxLength": 9, "pattern": "^", "minLength": len(value)}]
    if kind == "integer":
        ways += [
            {"type": "number", "exclusiveMinimum": value - 1},
            {"type": "integer", "exclusiveMaximum": value + 1},
        ]
    return draw(st.sampled_from(ways)), value


@st.composite
def nodes(draw: st.DrawFn, inner: st.SearchStrategy[tuple[Schema, Any]]) -> tuple[Schema, Any]:
    schema, value = draw(inner)
    other, _ = draw(inner)
    name = draw(st.sampled_from(["a", "$ref", "type", "items"]))
    match draw(st.sampled_from(["list", "tuple", "object", "map", "anyOf", "allOf", "ref", "nested", "closed"])):
        case "list":
            return {"type": "array", "items": schema, "uniqueItems": True}, [value]
        case "tuple":
            return {"type": "array", "prefixItems": [schema, other]}, [value]
        case "object":
            return {"type": "object", "properties": {name: schema, "b": other}, "required": [name]}, {name: value}
        case "map":
            return {"type": "object", "additionalProperties": schema, "propertyNames": {"maxLength": 9}}, {
                name: value
            }
        case "anyOf":
            return {"anyOf": [other, schema], "description": "D."}, value
        case "allOf":
            return {"allOf": [schema], "description": "D."}, value
        case "ref":
            return {
                "$ref": "#/$defs/D",
                "$defs": {"D": schema},
                "$id": f"urn:{id(schema)}:{draw(st.integers())}",
            }, value
        case "nested":
            bare = {
                "type": "object",
                "properties": {name: schema},
                "anyOf": [{"required": [name]}, {"required": ["b"]}],
            }
            return bare, {name: value}
        case _:
            closed = {"type": "object", "properties": {name: schema}, "additionalProperties": False}
            return closed, {name: value}


PAIRS = st.recursive(leaves(), lambda inner: nodes(inner), max_leaves=5)


@given(PAIRS)
def test_any_schema_is_said_in_few_words_and_allows_what_it_allowed(pair: tuple[Schema, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra `mcp`")
    schema, value = pair
    whole = {"type": "object", "properties": {"p": schema}}
    plain = plain_schema(whole)
    check_words(plain)
    assert plain_schema(plain) == plain
    assert "$ref" not in str([*keywords(plain)])
    jsonschema.Draft202012Validator(json.loads(json.dumps(plain))).validate({"p": value})


def keywords(schema: Schema) -> list[str]:
    inner = [*schema.get("anyOf", ()), *schema.get("prefixItems", ()), *schema.get("properties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return [*schema, *(word for each in inner for word in keywords(each))]
