"""Make a tool from a typed function: its types become a JSON schema and check the model's arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
    overload,
)

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python
from typing_extensions import TypedDict  # pydantic requires this one before Python 3.12

from agent.errors import ConfigError, ToolError
from agent.events import ReportLevel
from agent.tools.arguments import fitted
from agent.tools.context import CallContext
from agent.tools.declare import DEFAULT_TIMEOUT_S, TOOL_NAME, Behavior, Scheduling, Tool
from agent.tools.schema import Schema, SchemaError, plain_schema

Function = TypeVar("Function", bound=Callable[..., Any])

MAX_REPORTED_ERRORS = 5
_OPTIONS = "__talkspurt_tool__"


@dataclass(frozen=True, slots=True)
class _Options:
    behavior: Behavior | None = None
    scheduling: Scheduling | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    confirm: bool = False
    report: ReportLevel | None = None
    masked: Collection[str] = ()


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(
    *,
    behavior: Behavior | None = None,
    scheduling: Scheduling | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    confirm: bool = False,
    report: ReportLevel | None = None,
    masked: Collection[str] = (),
) -> Callable[[Function], Function]: ...


def tool(
    function: Function | None = None,
    /,
    *,
    behavior: Behavior | None = None,
    scheduling: Scheduling | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    confirm: bool = False,
    report: ReportLevel | None = None,
    masked: Collection[str] = (),
) -> Function | Callable[[Function], Function]:
    """Set options for a function's use as a tool; the function itself is unchanged.

    Args:
        function: the decorated function, if the decorator is used without options.
        behavior: see `Tool`.
        scheduling: see `Tool`.
        timeout_s: seconds that it may take.
        confirm: whether it runs only after the caller has said yes to it.
        report: see `Tool`.
        masked: see `Tool`.
    """

    def mark(function: Function) -> Function:
        setattr(function, _OPTIONS, _Options(behavior, scheduling, timeout_s, confirm, report, masked))
        return function

    return mark if function is None else mark(function)


def as_tool(function: Callable[..., Any]) -> Tool:
    """Make a tool from a function's name, docstring and types.

    Args:
        function: plain or async; each parameter has a type. One of type `CallContext` gets the call.

    Raises:
        ConfigError: it cannot be a tool; the message names its file and the function, and says why.
    """
    try:
        return _as_tool(function)
    except _UnfitError as unfit:
        raise ConfigError(f"{place_of(function)}: {unfit}") from unfit.__cause__


class _UnfitError(Exception):
    """A function cannot be a tool; the message says why."""


def _as_tool(function: Callable[..., Any]) -> Tool:
    name = getattr(function, "__name__", "")
    if not TOOL_NAME.fullmatch(name):
        raise _UnfitError(
            f"{name!r} cannot be a tool's name: use up to 64 letters, digits, _ . and -, a letter or _ first"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise _UnfitError("it is a generator: return one value, and report progress with CallContext.progress")
    options: _Options = getattr(function, _OPTIONS, _Options())
    if options.scheduling is not None and options.behavior != "NON_BLOCKING":
        raise _UnfitError('scheduling only works with behavior="NON_BLOCKING"')
    if options.timeout_s <= 0:
        raise _UnfitError(f"timeout_s must be above 0, not {options.timeout_s:g}")
    context, hints, defaults = _parameters(function)
    adapter, schema = _adapter(name, hints, defaults)
    return Tool(
        name=name,
        description=inspect.getdoc(function) or name.replace("_", " "),
        parameters=schema,
        function=function,
        timeout_s=options.timeout_s,
        behavior=options.behavior,
        scheduling=options.scheduling,
        context=context,
        confirm=options.confirm,
        report=options.report,
        masked=options.masked,
        parse=lambda arguments: _parse(adapter, fitted(arguments, schema)),
    )


def _parameters(function: Callable[..., Any]) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    """Return the name of the context parameter, the types of the other parameters, and their defaults."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise _UnfitError(f"its types cannot be read: {error}") from error
    context, types, defaults = None, {}, {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise _UnfitError(f"parameter {parameter}: the model passes arguments by name, which does not fit it")
        if name not in hints:
            raise _UnfitError(f"parameter {name} has no type: write, for example, {name}: str")
        if hints[name] is CallContext:
            if context is not None:
                raise _UnfitError(f"{context} and {name} are both of type CallContext: one is enough")
            context = name
            continue
        types[name] = hints[name]
        if parameter.default is not parameter.empty:
            defaults[name] = parameter.default
    return context, types, defaults


def _adapter(
    name: str, types: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[TypeAdapter[dict[str, Any]], Schema]:
    """Return the adapter that checks the arguments, and their JSON schema as it is declared to the model."""
    known = {key: _known_to_pydantic(hint) for key, hint in types.items()}
    arguments = _typed_dict(
        name, {key: NotRequired[hint] if key in defaults else hint for key, hint in known.items()}
    )
    arguments.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(arguments)
        schema = adapter.json_schema()
    except PydanticUserError as error:
        raise _UnfitError(f"one of its types has no JSON schema: {error.message.splitlines()[0]}") from error
    except TypeError as error:
        raise _UnfitError(f"one of its types cannot be used: {error}") from error
    for key, value in defaults.items():
        try:
            schema["properties"][key]["default"] = to_jsonable_python(value)
        except PydanticSerializationError as error:
            raise _UnfitError(f"the default of {key} cannot be written as JSON: {error}") from error
    try:
        return adapter, plain_schema(schema)
    except SchemaError as error:
        raise _UnfitError(str(error)) from error


def _typed_dict(name: str, fields: Mapping[str, Any]) -> Any:
    typed_dict: Any = TypedDict  # with fields that are known at run time only
    return typed_dict(name, fields)


def _known_to_pydantic(hint: Any) -> Any:
    """Replace `typing.TypedDict` in a type by that of typing_extensions, as pydantic requires in Python 3.11."""
    if is_typeddict(hint) and type(hint).__module__ == "typing":
        inner = get_type_hints(hint, include_extras=True)
        required = getattr(hint, "__required_keys__", frozenset(inner))
        return _typed_dict(
            hint.__name__,
            {
                key: Required[_known_to_pydantic(each)]
                if key in required
                else NotRequired[_known_to_pydantic(each)]
                for key, each in inner.items()
            },
        )
    origin, arguments = get_origin(hint), get_args(hint)
    known = tuple(map(_known_to_pydantic, arguments))
    if origin in (None, Literal) or known == arguments:
        return hint
    if origin in (Required, NotRequired):
        return known[0]
    if origin is Annotated:
        return Annotated[(known[0], *hint.__metadata__)]
    return Union[known] if origin in (Union, UnionType) else origin[known]  # noqa: UP007 (its members are in a tuple)


def _parse(adapter: TypeAdapter[dict[str, Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return adapter.validate_json(json.dumps(dict(arguments)))
    except ValidationError as error:
        raise ToolError(_complaint(error)) from None


def _complaint(error: ValidationError) -> str:
    """Tell the model which arguments are wrong, and how."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_REPORTED_ERRORS]
    told = [f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in errors]
    return "wrong arguments: " + "; ".join(told)


def place_of(function: Callable[..., Any]) -> str:
    """Return a function's file, line and name, for messages."""
    name = getattr(function, "__qualname__", repr(function))
    code = getattr(inspect.unwrap(function), "__code__", None)
    return name if code is None else f"{Path(code.co_filename).name}, line {code.co_firstlineno}: {name}"
