"""What a tool is: a function that the model may call, and how the model is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A function for the model to call.

    Attributes:
        name: what the model calls it.
        description: what it does and when to call it, for the model.
        parameters: JSON schema of its arguments, an object.
        function: takes the arguments by keyword; returns something that JSON can hold, or a coroutine of it.
        timeout_s: seconds that it may take.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]
    timeout_s: float = 20.0

    def declaration(self) -> dict[str, Any]:
        """Return the fields of the Live API's FunctionDeclaration."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters_json_schema": dict(self.parameters),
        }
