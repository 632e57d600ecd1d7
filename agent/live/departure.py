"""Decides when to leave a Live session that must be replaced: at a quiet point, or when its time is nearly over.

At a quiet point nobody is speaking, no tool call is open, and what was sent since the newest handle can be sent
again. While much time is left, the newest handle must also cover exactly what was sent before it. On a slow line no
handle does, because silence is sent all the time; the session is then left when less time remains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.clock import Clock
from agent.live.endings import How
from agent.live.replay import ReplayRing
from agent.live.resumption import Recovery
from agent.live.session import LiveSession

MUCH_TIME_S = 10.0
QUIET_POINT_POLL_S = 0.02
CLOSE_MARGIN_S = 1.0  # a session is left this long before the server closes it
MAX_CLOSE_MARGIN_SHARE = 0.25  # the margin is at most this share of the time that the server gives
MAX_CHANGE_S = 20.0  # a change of the agent takes effect within this time


IsQuiet = Callable[[], bool]
"""Returns whether nobody is speaking and no tool call is open."""


class Departure:
    """Waits for the moment to leave each session of a call; its task ends no later than the session.

    Args:
        recovery: knows the newest handle.
        ring: knows what was sent.
        clock: monotonic seconds.
    """

    def __init__(self, recovery: Recovery, ring: ReplayRing, clock: Clock) -> None:
        self._recovery = recovery
        self._ring = ring
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    @property
    def planned(self) -> bool:
        """True if the current session is about to be left."""
        return self._task is not None

    def before_go_away(self, session: LiveSession, is_quiet: IsQuiet, time_left_s: float) -> None:
        """Leave a session before the server closes it in ``time_left_s`` seconds."""
        margin_s = min(CLOSE_MARGIN_S, MAX_CLOSE_MARGIN_SHARE * time_left_s)
        self._plan(session, is_quiet, "go_away", time_left_s - margin_s)

    def for_change(self, session: LiveSession, is_quiet: IsQuiet) -> None:
        """Leave a session whose agent was changed, so that the next one is set up with the change."""
        self._plan(session, is_quiet, "left", MAX_CHANGE_S)

    def cancel(self) -> None:
        """Note that the session has ended."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _plan(self, session: LiveSession, is_quiet: IsQuiet, how: How, within_s: float) -> None:
        leaving = self._leave(session, is_quiet, how, self._clock() + within_s)
        self._task = asyncio.create_task(leaving, name="live-swap")

    async def _leave(self, session: LiveSession, is_quiet: IsQuiet, how: How, deadline: float) -> None:
        while (left_s := deadline - self._clock()) > 0:
            if self._may_leave(exact=how == "go_away" and left_s > MUCH_TIME_S) and is_quiet():
                break
            await asyncio.sleep(QUIET_POINT_POLL_S)
        session.leave(how)

    def _may_leave(self, *, exact: bool) -> bool:
        ring = self._ring
        known = ring.exact and ring.covers_handle if exact else ring.covers_words
        return self._recovery.handle is not None and known and not ring.answered
