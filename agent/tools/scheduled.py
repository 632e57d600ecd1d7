"""An answer that says itself when the model is to speak of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from agent.tools.declare import Scheduling


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What a tool returns in place of ``value``, if this once the model is to speak of it at another time.

    Models heed it of tools that they do not wait for; see `Tool.behavior`.

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
            raise ValueError(f"scheduling is one of {', '.join(get_args(Scheduling))}, not {self.scheduling!r}")


def unscheduled(value: object) -> tuple[Any, Scheduling | None]:
    """Return what a tool returned, and when the model is to speak of it, if that was said."""
    return (value.value, value.scheduling) if isinstance(value, Scheduled) else (value, None)
