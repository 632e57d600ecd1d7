"""How the parts of a call reach the call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agent import events
from agent.call.outcomes import Outcomes
from agent.capture import Capture
from agent.clock import Clock
from agent.isolate import ignore
from agent.live.uplink import Item


@dataclass(slots=True)
class CallPorts:
    """The only references from a call's parts back to the call; dropping them breaks every reference cycle.

    Attributes:
        call_id: identifies the call in the log.
        clock: monotonic seconds.
        act: tells events to the call's observers and carries out the other outcomes.
        send: queues something for the model; if that fails it ends the call instead of raising.
        start: runs a task that ends with the call, unless the call is over; takes its work and its name.
        hang_up: ends the call, see `Call.hang_up`.
        capture: records inputs and events for a replay; None if no capture was requested.
    """

    call_id: str
    clock: Clock
    act: Callable[[Outcomes], None]
    send: Callable[[Item], None]
    start: Callable[[Callable[[], Coroutine[Any, Any, None]], str], object]
    hang_up: Callable[[str, str, events.Fault], None]
    capture: Capture | None = None

    def let_go(self) -> None:
        """Drop the references to a call that is over or will never run."""
        self.act = self.send = self.start = self.hang_up = ignore
