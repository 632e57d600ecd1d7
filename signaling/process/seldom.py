"""Say something at most once a minute, however often its cause occurs."""

from __future__ import annotations

import math

from agent.clock import Clock, monotonic

MINUTE_S = 60.0


class OncePerMinute:
    """Tells when it is time to say something again.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._said_at: dict[str, float] = {}

    def due(self, kind: str = "") -> bool:
        """Return True the first time, and then once a minute at most, and count on the caller to say it.

        Args:
            kind: one of a few kinds of things that are said, each of which has its own minutes.
        """
        now = self._clock()
        if now - self._said_at.get(kind, -math.inf) < MINUTE_S:
            return False
        self._said_at[kind] = now
        return True
