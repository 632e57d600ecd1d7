"""What an agent wants to be told of its calls. See docs/agents.md; `agent.call.hooks` runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from agent.errors import ConfigError
from agent.tools.function import place_of

Hook = Callable[..., Any]
_TAKES = {
    "on_call_started": ("call",),
    "on_call_ended": ("call", "ended"),
    "on_transcript": ("call", "spoken"),
    "on_event": ("call", "event"),
}


@dataclass(frozen=True, slots=True)
class Hooks:
    """What an agent wants to be told; each a function, plain or async, or None.

    Attributes:
        on_call_started: takes the call, a `CallContext`.
        on_call_ended: takes the call and its `CallEnded`.
        on_transcript: takes the call and a turn that is final, a `Spoken`.
        on_event: takes the call and any event but `AppEventSent`, which is the agent's own doing.
    """

    on_call_started: Hook | None = None
    on_call_ended: Hook | None = None
    on_transcript: Hook | None = None
    on_event: Hook | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))

    def check(self) -> None:
        """Refuse what cannot be called as hooks are.

        Raises:
            ConfigError: the message names the hook, and its file.
        """
        for each in fields(self):
            hook = getattr(self, each.name)
            if hook is None:
                continue
            if not callable(hook):
                raise ConfigError(f"{each.name} wants a function, not {type(hook).__name__}")
            try:
                inspect.signature(hook).bind(*_TAKES[each.name])
            except (TypeError, ValueError):
                wanted = f"{each.name} is called with ({', '.join(_TAKES[each.name])})"
                raise ConfigError(f"{place_of(hook)}: {wanted}, which it does not take") from None


NO_HOOKS = Hooks()
