"""Whether this process has more to do than it has time for, judged by the lag of its event loop. Pure.

Rules:
  1. The lag is smoothed over about `MEMORY` measurements, that is 2 s: a momentary stall is not an overload.
  2. A single measurement counts for at most `MAX_LIMITS_PER_STALL` times the limit, so that one stall, however
     long, is not enough.
  3. The process is overloaded above the limit, and no longer so below half of it. In between nothing changes.
"""

from __future__ import annotations

MEMORY = 20
MAX_LIMITS_PER_STALL = 5.0


class Overload:
    """Keeps track of how late the event loop is.

    Args:
        limit_s: lag above which the process is overloaded.
    """

    def __init__(self, limit_s: float) -> None:
        self.lag_s = 0.0
        "The smoothed lag."
        self.active = False
        "True while the process is overloaded."
        self._limit_s = limit_s

    def note(self, lag_s: float) -> None:
        """Take a measurement; call it about ten times a second, see `agent.call.stats.watch_loop`."""
        self.lag_s += (min(lag_s, MAX_LIMITS_PER_STALL * self._limit_s) - self.lag_s) / MEMORY
        self.active = self.lag_s > (self._limit_s / 2 if self.active else self._limit_s)
