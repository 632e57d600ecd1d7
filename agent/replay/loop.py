"""An event loop whose time passes only when nothing is left to do, so that minutes of a call take seconds.

Sockets are real. Time stands still while there is anything to read or to run, and while something is on its way
through a socket (`held`).
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.clock import monotonic

STEP_S = 0.02
STUCK_S = 10.0


class StuckError(Exception):
    """Nothing happened for too long in real time, although something is being waited for."""


class PatientLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing is left to do.

    Args:
        now: the loop's time at its start, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._holds = 0
        self._given_up = False
        super().__init__(_PatientSelector(self))

    def time(self) -> float:
        """Return the loop's own time, in seconds."""
        return self._now

    def pass_time(self, seconds: float) -> bool:
        """Let time pass; return False while it is held."""
        if self._holds and not self._given_up:
            return False
        self._now += seconds
        return True

    def give_up(self) -> None:
        """Stop holding time, so that whatever still runs can be ended."""
        self._given_up = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make time stand still until the end of the block."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1


class _PatientSelector(selectors.BaseSelector):
    """Waits for sockets in real time only if nothing else can happen."""

    def __init__(self, loop: PatientLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()
        self._idle_since: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._idle_since = None
            return ready
        if timeout is not None and self._loop.pass_time(timeout):
            self._idle_since = None
            return []
        ready = self._real.select(STEP_S)
        now = monotonic()
        self._idle_since = None if ready else self._idle_since or now
        if self._idle_since is not None and now - self._idle_since > STUCK_S:
            self._idle_since = None
            self._loop.give_up()
            raise StuckError
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()
