"""Typed functions become tools: arguments that fit the schema are accepted, others are refused clearly."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum, IntEnum
from functools import partial
from typing import Annotated, Any, Literal, Optional, Required, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agent.errors import ConfigError, ToolError
from agent.tools.context import CallContext
from agent.tools.function import as_tool, tool
from agent.tools.schema import RecursiveSchemaError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Guest(BaseModel):
    """Somebody who comes."""

    name: str
    title: str | None = None
    age: Annotated[int, Field(ge=0, le=150)] = 0


@dataclass
class Table:
    seats: int
    guests: list[Guest]


class Node(BaseModel):
    children: list[Node] = []


def reserve(
    ctx: CallContext,
    table: Table,
    day: Annotated[date, Field(description="The day.")],
    colour: Colour = Colour.RED,
    smoking: Literal["no"] = "no",
    note: Optional[str] = None,  # noqa: UP045  both ways of writing it are in use
) -> str:
    """Reserve a table.

    Ask for the day first.
    """
    return f"{ctx.call_id} {table} {day} {colour} {smoking} {note}"


def test_a_declaration_says_it_all_and_nothing_of_the_call() -> None:
    declared = as_tool(reserve).declaration()
    assert declared["name"] == "reserve"
    assert declared["description"] == "Reserve a table.\n\nAsk for the day first."
    assert "behavior" not in declared
    guest = {
        "type": "object",
        "description": "Somebody who comes.",
        "properties": {
            "name": {"type": "string"},
            "title": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "age": {"type": "integer", "minimum": 0, "maximum": 150, "default": 0},
        },
        "required": ["name"],
    }
    table = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"seats": {"type": "integer"}, "guests": {"type": "array", "items": guest}},
        "required": ["seats", "guests"],
    }
    assert declared["parameters_json_schema"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "table": table,
            "day": {"type": "string", "format": "date", "description": "The day."},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "smoking": {"type": "string", "enum": ["no"], "default": "no"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["table", "day"],
    }
    assert as_tool(reserve).context == "ctx"


def test_arguments_become_what_the_function_takes() -> None:
    given = {"table": {"seats": 2, "guests": [{"name": "Ada"}]}, "day": "2026-01-02", "colour": "blue"}
    assert as_tool(reserve).parse(given) == {
        "table": Table(2, [Guest(name="Ada")]),
        "day": date(2026, 1, 2),
        "colour": Colour.BLUE,
    }


class Booking(TypedDict, total=False):
    seats: Required[int]
    when: date


def book(
    n: Literal[1, 2, 3],
    size: Literal["1", "2"] = "1",
    seats: int = 4,
    note: Optional[str] = "none",  # noqa: UP045
    guests: list[str] = [],  # noqa: B006
    extras: Optional[dict[str, float]] = None,  # noqa: UP045
    table: Optional[Table] = None,  # noqa: UP045
    booking: Optional[Booking] = None,  # noqa: UP045
    guest: Optional[Guest] = None,  # noqa: UP045
    anything: Any = 0,
    either: Union[int, str] = 0,  # noqa: UP007
    level: Level = Level.LOW,
    zip_code: str = "",
    smoking: bool = False,
) -> None: ...


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"n": "2"}, {"n": 2}),
        ({"n": 2.0}, {"n": 2}),
        ({"n": 1, "size": 2}, {"n": 1, "size": "2"}),
        ({"n": 1, "level": "2"}, {"n": 1, "level": Level.HIGH}),
        ({"n": 1, "seats": None}, {"n": 1}),
        ({"n": 1, "seats": None, "guests": None, "either": None, "smoking": None}, {"n": 1}),
        ({"n": 1, "seats": "7", "smoking": "true"}, {"n": 1, "seats": 7, "smoking": True}),
        ({"n": 1, "note": None, "anything": None}, {"n": 1, "note": None, "anything": None}),
        ({"n": 1, "note": "null", "extras": "null"}, {"n": 1, "note": "null", "extras": None}),
        ({"n": 1, "guests": '["Ada", "Bob"]'}, {"n": 1, "guests": ["Ada", "Bob"]}),
        ({"n": 1, "extras": '{"wine": "1.5"}'}, {"n": 1, "extras": {"wine": 1.5}}),
        ({"n": 1, "table": '{"seats": "2", "guests": "[]"}'}, {"n": 1, "table": Table(2, [])}),
        ({"n": 1, "guest": {"name": "Ada", "age": None}}, {"n": 1, "guest": Guest(name="Ada")}),
        ({"n": 1, "guest": {"name": "Ada", "title": None}}, {"n": 1, "guest": Guest(name="Ada")}),
        (
            {"n": 1, "booking": '{"seats": "2", "when": "2026-01-02"}'},
            {"n": 1, "booking": {"seats": 2, "when": date(2026, 1, 2)}},
        ),
        ({"n": 1, "booking": {"seats": 2, "when": None}}, {"n": 1, "booking": {"seats": 2}}),
        ({"n": 1, "either": "7"}, {"n": 1, "either": "7"}),
        ({"n": 1, "anything": "[1]"}, {"n": 1, "anything": "[1]"}),
        ({"n": 1, "zip_code": 10115, "note": "[1]"}, {"n": 1, "zip_code": "10115", "note": "[1]"}),
    ],
)
def test_arguments_are_taken_as_models_write_them(given: dict[str, Any], taken: dict[str, Any]) -> None:
    before = copy.deepcopy(given)
    assert as_tool(book).parse(given) == taken
    assert given == before


@pytest.mark.parametrize(
    "given",
    [
        {"n": None},
        {"n": "4"},
        {"n": "two"},
        {"n": 1, "seats": "many"},
        {"n": 1, "seats": "2.5"},
        {"n": 1, "seats": "NaN"},
        {"n": 1, "guests": "Ada"},
        {"n": 1, "guests": '{"0": "Ada"}'},
        {"n": 1, "guests": "[" * 100_000},
        {"n": 1, "extras": "[]"},
        {"n": 1, "guest": {"name": None}},
        {"n": 1, "unheard_of": None},
    ],
)
def test_what_has_no_reading_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="wrong arguments"):
        as_tool(book).parse(given)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ToolError) as wrong:
        as_tool(reserve).parse({"table": {"seats": "many", "guests": []}, "ctx": 1, "day": "secret"})
    told = str(wrong.value)
    assert told.startswith("wrong arguments: ")
    for word in ("table.seats", "day", "ctx"):
        assert word in told
    assert "secret" not in told


def test_options_are_kept_and_the_function_stays_what_it_is() -> None:
    @tool(behavior="NON_BLOCKING", scheduling="SILENT", timeout_s=5, confirm=True)
    def work(n: int) -> int:
        return n + 1

    assert work(1) == 2
    made = as_tool(work)
    assert (made.behavior, made.scheduling, made.timeout_s, made.confirm) == ("NON_BLOCKING", "SILENT", 5, True)
    assert made.declaration()["behavior"] == "NON_BLOCKING"

    @tool
    def plain() -> None: ...

    assert as_tool(plain).parameters == {"type": "object", "additionalProperties": False, "properties": {}}


def test_parameters_may_be_called_anything() -> None:
    def odd(json: str, schema: str, model_config: str, _private: int, title: str, copy: bool) -> None: ...

    names = ["json", "schema", "model_config", "_private", "title", "copy"]
    assert list(as_tool(odd).parameters["properties"]) == names
    given = {"json": "a", "schema": "b", "model_config": "c", "_private": 1, "title": "d", "copy": True}
    assert as_tool(odd).parse(given) == given


def untyped(city) -> None:  # type: ignore[no-untyped-def]
    ...


def starred(*cities: str) -> None: ...
def keywords(**cities: str) -> None: ...
def positional(city: str, /) -> None: ...
def recursive(node: Node) -> None: ...
def function_typed(callback: Callable[[], None]) -> None: ...
def any_class(thing: RecursiveSchemaError) -> None: ...
def twice(a: CallContext, b: CallContext) -> None: ...
def undefined(city: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def strange_default(city: str = object()) -> None: ...  # type: ignore[assignment]
def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@tool(scheduling="SILENT")
def scheduled() -> None: ...


@tool(timeout_s=0)
def hasty() -> None: ...


UNFIT = {
    untyped: "city has no type",
    starred: "*cities",
    keywords: "**cities",
    positional: "city",
    recursive: "Node contains itself",
    function_typed: "no JSON schema",
    any_class: "",
    twice: "one is enough",
    undefined: "Nowhere",
    strange_default: "the default of city",
    generator: "progress",
    async_generator: "progress",
    scheduled: "NON_BLOCKING",
    hasty: "timeout_s",
}


@pytest.mark.parametrize("function", UNFIT)
def test_what_cannot_be_a_tool_is_refused_with_file_function_and_reason(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError) as unfit:
        as_tool(function)
    message = str(unfit.value)
    assert message.startswith("test_function.py, line ")
    assert f": {function.__name__}: " in message
    assert UNFIT[function] in message
    assert "\n" not in message


@pytest.mark.parametrize("function", [lambda: 1, partial(print), 3])
def test_what_has_no_name_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError):
        as_tool(function)


# --- random types

LEAVES: list[Any] = [
    str,
    int,
    float,
    bool,
    date,
    Colour,
    Guest,
    Literal["a", "b"],
    Literal[1, 2],
    Annotated[int, Field(ge=3, le=7)],
    Annotated[str, Field(min_length=1, max_length=4)],
]
TYPES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),  # type: ignore[valid-type]
        inner.map(lambda t: dict[str, t]),  # type: ignore[valid-type]
        inner.map(lambda t: Optional[t]),  # noqa: UP045
        st.tuples(inner, inner).map(lambda pair: Union[pair]),  # noqa: UP007
    ),
    max_leaves=4,
)


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a JSON schema allows; of keywords, those that our declarations use."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([fitting(choice) for choice in schema["anyOf"]])
    match schema.get("type"):
        case "string" if schema.get("format") == "date":
            return st.dates().map(str)
        case "string":
            letters = st.characters(exclude_categories=["Cs"])
            return st.text(letters, min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 20))
        case "integer":
            return st.integers(schema.get("minimum", -(2**53)), schema.get("maximum", 2**53))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return st.lists(fitting(schema["items"]), max_size=3)
        case "object" if "properties" in schema:
            required = set(schema.get("required", ()))
            fields = {name: fitting(inner) for name, inner in schema["properties"].items()}
            optional = {name: fields[name] for name in fields if name not in required}
            return st.fixed_dictionaries({name: fields[name] for name in required}, optional=optional)
        case "object":
            return st.dictionaries(st.text(max_size=4), fitting(schema["additionalProperties"]), max_size=2)
    raise AssertionError(f"a schema that this test does not know: {schema}")


def made_of(types: list[Any], optional: int) -> Any:
    """A function whose parameters have these types; the last ones have a default."""

    def function(**_: Any) -> None: ...

    names = [f"p{number}" for number in range(len(types))]
    function.__annotations__ = dict(zip(names, types, strict=True))
    required = len(types) - optional
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=hint,
                default=inspect.Parameter.empty if number < required else None,
            )
            for number, (name, hint) in enumerate(zip(names, types, strict=True))
        ]
    )
    return function


@given(st.data(), st.lists(TYPES, max_size=3))
def test_what_fits_the_schema_is_accepted(data: st.DataObject, types: list[Any]) -> None:
    made = as_tool(made_of(types, data.draw(st.integers(0, len(types)))))
    json.dumps(made.declaration(), allow_nan=False)
    assert "$ref" not in json.dumps(made.declaration())
    arguments = data.draw(fitting(dict(made.parameters)))
    parsed = made.parse(arguments)
    assert set(parsed) == set(arguments)


def nested(depth: int) -> Any:
    return {"deeper": [nested(depth - 1)]} if depth else "deep"


WRONG = nested(20)  # deeper than any of the random types


@given(st.data(), st.lists(TYPES, min_size=1, max_size=3))
def test_what_does_not_fit_is_refused_in_words(data: st.DataObject, types: list[Any]) -> None:
    made = as_tool(made_of(types, 0))
    arguments = data.draw(fitting(dict(made.parameters)))
    name = data.draw(st.sampled_from(sorted(arguments)))
    match data.draw(st.sampled_from(["missing", "unknown", "wrong"])):
        case "missing":
            del arguments[name]
        case "unknown":
            name = "brand_new"
            arguments[name] = 1
        case "wrong":
            arguments[name] = WRONG
    with pytest.raises(ToolError) as wrong:
        made.parse(arguments)
    assert name in str(wrong.value)
    assert "\n" not in str(wrong.value)
