"""How the parts of a call reach the call. Pure."""

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
    """The only way of a call's parts back to it: cut here, the call is free of them.

    Attributes:
        call_id: names the call in the log.
        clock: monotonic seconds.
        act: tells events to the call's observers and carries out what else follows.
        send: queues something for the model; does not raise, but ends the call.
        start: runs a task that ends with the call, unless that is over; takes its work and its name.
        hang_up: ends the call, see `Call.hang_up`.
        capture: notes what happens, for a replay; None if nobody wants one.
    """

    call_id: str
    clock: Clock
    act: Callable[[Outcomes], None]
    send: Callable[[Item], None]
    start: Callable[[Callable[[], Coroutine[Any, Any, None]], str], None]
    hang_up: Callable[[str, str, events.Fault], None]
    capture: Capture | None = None

    def let_go(self) -> None:
        """Forget the call, which is over or will never run."""
        self.act = self.send = self.start = self.hang_up = ignore
