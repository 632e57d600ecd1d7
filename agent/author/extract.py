"""What an agent wants to know about its calls once they are over: `Agent(summary=..., extract=...)`.

The operator provides the schema: a pydantic model (or another type that pydantic describes) or a JSON schema. The
data that is checked against it comes from a model and is untrusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from agent.errors import ConfigError
from agent.summary import Extraction, SummaryWish, UnfitError
from agent.tools.schema import SchemaError, plain_schema

WHERE = "Agent(extract=...)"
MAX_REPORTED_ERRORS = 5


def summary_wish(summary: bool | str, extract: Any) -> SummaryWish | None:
    """Return what an agent's file asks for; None if it asks for nothing.

    Args:
        summary: whether a summary is wanted, or the name of the model that makes it.
        extract: a type that pydantic describes, or a JSON schema; None to extract nothing.

    Raises:
        ConfigError: the schema cannot be used.
    """
    if not isinstance(summary, bool | str) or (isinstance(summary, str) and not summary.strip()):
        raise ConfigError("Agent(summary=...): give True, False or the name of a model")
    if not summary and extract is None:
        return None
    extraction = None if extract is None else extraction_of(extract)
    return SummaryWish(bool(summary), extraction, summary.strip() if isinstance(summary, str) else None)


def extraction_of(wanted: Any) -> Extraction:
    """Return what is to be extracted, and how it is checked.

    Args:
        wanted: see `summary_wish`.

    Raises:
        ConfigError: it does not describe an object, or uses something that the model cannot be told.
    """
    schema, check = _by_json_schema(wanted) if isinstance(wanted, Mapping) else _by_type(wanted)
    try:
        return Extraction(plain_schema(schema), check)
    except SchemaError as error:
        raise ConfigError(f"{WHERE}: {error}") from None


def _by_type(wanted: Any) -> tuple[Mapping[str, Any], Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
        return adapter.json_schema(), partial(_check_type, adapter)
    except (PydanticUserError, TypeError, NameError) as error:
        words = str(error).splitlines()[0]
        raise ConfigError(f"{WHERE}: give a pydantic model or a JSON schema: {words}") from error


def _check_type(adapter: TypeAdapter[Any], data: Any) -> Any:
    try:
        return adapter.dump_python(adapter.validate_json(json.dumps(data)), mode="json", by_alias=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise _unfit((".".join(map(str, each["loc"])), each["type"]) for each in found) from None


def _by_json_schema(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any]:
    # Imported here because the import is slow and few agents need it.
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    draft = validator_for(schema, default=Draft202012Validator)
    try:
        draft.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"{WHERE}: this is not a JSON schema: {error.message}") from None
    # Without an explicit registry it would download what a reference names.
    return schema, partial(_check_json, draft(schema, registry=Registry(), format_checker=draft.FORMAT_CHECKER))


def _check_json(validator: Any, data: Any) -> Any:
    found = [(".".join(map(str, each.absolute_path)), each.validator) for each in validator.iter_errors(data)]
    if found:
        raise _unfit(found)
    return data


def _unfit(found: Iterable[tuple[str, str]]) -> UnfitError:
    """Return an error that names the fields and the rules they break; values may be the caller's words."""
    places = [f"{place}: {rule}" if place else rule for place, rule in found]
    told = "; ".join(places[:MAX_REPORTED_ERRORS])
    return UnfitError("unfit", f"data does not fit the agent's schema: {told}")
