"""Whether this process has more to do than it has time for. Pure.

Judged by the lag of its event loop:
  1. The lag is smoothed over about `MEMORY` measurements, that is 2 s: a momentary stall is not an overload.
  2. A single measurement counts for at most `MAX_LIMITS_PER_STALL` times the limit, so that one stall, however
     long, is not enough.
  3. The process is overloaded above the limit, and no longer so below half of it. In between nothing changes.

And by what callers hear, every 2 s:
  4. The process is overloaded if, twice in a row, more than `MAX_LATE_SHARE` of the agents' packets left late, and
     no longer so once less than half of that are late.
  5. Fewer than `MIN_PACKETS` tell nothing: a single call may have had bad luck.
"""

from __future__ import annotations

MEMORY = 20
MAX_LIMITS_PER_STALL = 5.0
MAX_LATE_SHARE = 0.002
MIN_PACKETS = 250  # in 2 s, three agents who talk send so many


class Overload:
    """Keeps track of how late the event loop and the agents' voices are.

    Args:
        limit_s: lag above which the process is overloaded.
    """

    def __init__(self, limit_s: float) -> None:
        self.lag_s = 0.0
        "The smoothed lag."
        self._limit_s = limit_s
        self._loop_late = False
        self._packets = self._late = 0
        self._bad_in_a_row = 0

    @property
    def active(self) -> bool:
        """True while the process is overloaded."""
        return self._loop_late or self._bad_in_a_row >= 2

    def note(self, lag_s: float) -> None:
        """Take a measurement; call it about ten times a second, see `agent.call.stats.watch_loop`."""
        self.lag_s += (min(lag_s, MAX_LIMITS_PER_STALL * self._limit_s) - self.lag_s) / MEMORY
        self._loop_late = self.lag_s > (self._limit_s / 2 if self._loop_late else self._limit_s)

    def note_voices(self, packets: int, late: int) -> None:
        """Take counts; call it about every 2 s.

        Args:
            packets: how many packets of the agents' voices have been sent since the process began.
            late: how many of them left late.
        """
        sent, were_late = packets - self._packets, late - self._late
        self._packets, self._late = packets, late
        limit = MAX_LATE_SHARE / 2 if self._bad_in_a_row >= 2 else MAX_LATE_SHARE
        bad = sent >= MIN_PACKETS and were_late > limit * sent
        self._bad_in_a_row = self._bad_in_a_row + 1 if bad else 0
