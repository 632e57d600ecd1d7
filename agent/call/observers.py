"""Tells a call's observers what happens: every event goes to each of them, in order, and none follows the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from agent import events
from agent.isolate import isolated

LOGGED_ERRORS = 10  # per call at WARNING, further ones at DEBUG; all are counted

Observer = Callable[[events.Event], None]
"""Takes an event; must not block."""


class Observers:
    """The observers of one call.

    Args:
        call_id: names the call in the log.
    """

    def __init__(self, call_id: str) -> None:
        self.errors = 0
        "How often an observer failed; the others were told nevertheless."
        self.ended: events.CallEnded | None = None
        "Set once the call is over."
        self._call_id = call_id
        self._observers: list[Observer] = []
        self._state: events.AgentState = "connecting"

    def observe(self, observer: Observer) -> None:
        """Pass every event from now on to ``observer``, in order; it must not block."""
        if self.ended is None:
            self._observers.append(observer)

    def tell(self, event: events.Event) -> None:
        """Pass an event to all observers."""
        if self.ended is not None:
            return
        for observer in self._observers:
            what = f"call {self._call_id}: an observer of {type(event).__name__}"
            level = logging.WARNING if self.errors < LOGGED_ERRORS else logging.DEBUG
            if not isolated(what, partial(observer, event), level):
                self.errors += 1
        if isinstance(event, events.CallEnded):
            self.ended = event

    def tell_state(self, state: events.AgentState) -> None:
        """Tell the observers what the agent is doing, if that has changed."""
        if state != self._state:
            self._state = state
            self.tell(events.AgentStateChanged(state))

    def let_go(self) -> None:
        """Forget the observers of a call that is over or will never run."""
        self._observers.clear()
