"""The hooks with which an agent follows its calls. docs/agents.md describes them; `agent.call.hooks` runs them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from agent.errors import ConfigError
from agent.tools.function import place_of

Hook = Callable[..., Any]
_PARAMETERS = {
    "on_call_started": ("call",),
    "on_call_ended": ("call", "ended"),
    "on_transcript": ("call", "spoken"),
    "on_event": ("call", "event"),
    "on_call_summarised": ("call", "summarised"),
}


@dataclass(frozen=True, slots=True)
class Hooks:
    """An agent's hooks; each is a plain or async function, or None.

    Attributes:
        on_call_started: takes the call, a `CallContext`.
        on_call_ended: takes the call and its `CallEnded`.
        on_transcript: takes the call and a final turn, a `Spoken`.
        on_event: takes the call and any event except `AppEventSent`, which the agent itself causes.
        on_call_summarised: takes the call and its `CallSummarised`, when there is one.
    """

    on_call_started: Hook | None = None
    on_call_ended: Hook | None = None
    on_transcript: Hook | None = None
    on_event: Hook | None = None
    on_call_summarised: Hook | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))

    def check(self) -> None:
        """Refuse hooks that do not accept the arguments that they are called with.

        Raises:
            ConfigError: the message names the hook and its file.
        """
        for each in fields(self):
            hook = getattr(self, each.name)
            if hook is None:
                continue
            if not callable(hook):
                raise ConfigError(f"{each.name} must be a function, not {type(hook).__name__}")
            try:
                inspect.signature(hook).bind(*_PARAMETERS[each.name])
            except (TypeError, ValueError):
                arguments = ", ".join(_PARAMETERS[each.name])
                raise ConfigError(f"{place_of(hook)}: {each.name} must take ({arguments})") from None


NO_HOOKS = Hooks()
