"""A token bucket: limits a rate in the long run and allows short bursts. Pure."""

from __future__ import annotations

_ROUNDING = 1e-9


class Bucket:
    """A token bucket: over any period of ``s`` seconds, at most ``per_s * s + burst`` is taken.

    Time that has passed unused counts for the next amount that is taken. So after a long pause a single large
    amount is allowed, as long as it is not more than that time allows.

    Args:
        per_s: the amount that may be taken per second.
        burst: the additional amount that may be taken at once.
    """

    __slots__ = ("_at", "_used", "burst", "per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s = per_s
        self.burst = burst
        self._used = 0.0  # how much of the burst was used
        self._at = 0.0  # when that was computed

    def take(self, amount: float, now: float) -> bool:
        """Take an amount; if it is too much, take nothing and return False.

        Args:
            amount: in the bucket's unit.
            now: monotonic seconds.
        """
        used = self._used + amount - (now - self._at) * self.per_s
        if used > self.burst + _ROUNDING:
            return False
        self._used = max(0.0, used)
        self._at = now
        return True

    def room(self, now: float) -> float:
        """Return the largest amount that could be taken now."""
        return max(0.0, self.burst - self._used + (now - self._at) * self.per_s)

    def spare(self, now: float) -> float:
        """Return the largest amount that could be taken now without using any of the burst."""
        return max(0.0, self.room(now) - self.burst)

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until an amount can be taken; 0 if it can be taken now."""
        return max(0.0, amount - self.room(now)) / self.per_s
