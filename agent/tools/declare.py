"""What a tool is: a function that the model may call, and how it is declared to the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from agent.errors import ConfigError
from agent.events import ReportLevel
from agent.tools.arguments import fitted
from agent.tools.schema import SchemaError, plain_schema
from agent.unicode import valid_json

Behavior = Literal["BLOCKING", "NON_BLOCKING"]
Scheduling = Literal["WHEN_IDLE", "INTERRUPT", "SILENT"]

DEFAULT_TIMEOUT_S = 20.0
TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"Names that the Live API accepts; it ends a session that declares any other."


@dataclass(frozen=True, slots=True)
class Tool:
    """A function for the model to call.

    Attributes:
        name: the name by which the model calls it.
        description: tells the model what it does and when to call it.
        parameters: JSON schema of its arguments, an object; kept as `plain_schema` returns it.
        function: takes the arguments by keyword; plain or async; returns anything that can be written as JSON.
        timeout_s: seconds that it may take.
        behavior: whether the model waits for the answer (``BLOCKING``) or goes on talking (``NON_BLOCKING``); None
            leaves it to the model. Progress is reported for ``NON_BLOCKING`` tools only: with other tools the model
            would take it for the answer.
        scheduling: when the model speaks of an answer that it did not wait for: once it is silent (``WHEN_IDLE``),
            at once (``INTERRUPT``), or not at all (``SILENT``); None leaves it to the model.
        context: the name of the parameter that takes the `CallContext`; None if there is none.
        confirm: whether it runs only after the caller has said yes to it.
        report: what the caller is told of its calls, see `agent.events.ToolReport`; None means the setting
            ``tool_reports``.
        masked: names of fields whose values the caller is never told, in addition to ``tool_masked_fields``.
        parse: checks the model's arguments and converts them for the function; raises `ToolError`. By default they
            are only fitted to the schema, see `fitted`.

    Raises:
        ConfigError: its name or its schema cannot be declared to the model; the message names the tool.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]
    timeout_s: float = DEFAULT_TIMEOUT_S
    behavior: Behavior | None = None
    scheduling: Scheduling | None = None
    context: str | None = None
    confirm: bool = False
    report: ReportLevel | None = None
    masked: Collection[str] = ()
    parse: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    def __post_init__(self) -> None:
        if not TOOL_NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be a tool's name: use up to 64 letters, digits, _ . and -, "
                "a letter or _ first"
            )
        if isinstance(self.masked, str):
            raise ConfigError(f"tool {self.name}: masked must be a list of names, not one name")
        try:
            object.__setattr__(self, "parameters", plain_schema(self.parameters))
        except SchemaError as error:
            raise ConfigError(f"tool {self.name}: {error}") from error
        if self.parse is dict:
            object.__setattr__(self, "parse", partial(fitted, schema=self.parameters))

    def declaration(self) -> dict[str, Any]:
        """Return the fields of the Live API's FunctionDeclaration."""
        declared: dict[str, Any] = valid_json(
            {
                "name": self.name,
                "description": self.description,
                "parameters_json_schema": dict(self.parameters),
            }
        )
        return declared if self.behavior is None else {**declared, "behavior": self.behavior}
