"""Whether this process has more to do than it has time for, from how late its event loop runs. Pure.

Rules:
  1. The lag is smoothed over some `MEMORY` measurements, which is 2 s: a moment's stall is no overload.
  2. One measurement counts as `LONGEST` limits at most, so however long a single stall was, it is not enough.
  3. Overloaded above the limit; no longer below half of it. In between it stays as it was.
"""

from __future__ import annotations

MEMORY = 20
LONGEST = 5.0


class Overload:
    """Remember how late the event loop was.

    Args:
        limit_s: lag above which the process is overloaded.
    """

    def __init__(self, limit_s: float) -> None:
        self.lag_s = 0.0
        "Smoothed."
        self.active = False
        "True while the process is overloaded."
        self._limit_s = limit_s

    def note(self, lag_s: float) -> None:
        """Take a measurement; to be called some ten times a second, see `agent.call.stats.watch_loop`."""
        self.lag_s += (min(lag_s, LONGEST * self._limit_s) - self.lag_s) / MEMORY
        self.active = self.lag_s > (self._limit_s / 2 if self.active else self._limit_s)
