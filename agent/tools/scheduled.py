"""An answer that says when the model should speak of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from agent.tools.declare import Scheduling


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Returned by a tool in place of ``value`` to change when the model speaks of this one answer.

    Models respect it only for tools that they do not wait for; see `Tool.behavior`.

    Attributes:
        value: the answer itself.
        scheduling: see `Tool.scheduling`.

    Raises:
        ValueError: there is no such scheduling.
    """

    value: Any = field(repr=False)
    scheduling: Scheduling

    def __post_init__(self) -> None:
        if self.scheduling not in get_args(Scheduling):
            raise ValueError(f"scheduling must be {' or '.join(get_args(Scheduling))}, not {self.scheduling!r}")


def unscheduled(value: object) -> tuple[Any, Scheduling | None]:
    """Return a tool's answer without its `Scheduled`, and the scheduling if it had one."""
    return (value.value, value.scheduling) if isinstance(value, Scheduled) else (value, None)
