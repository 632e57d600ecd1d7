"""How much of something is taken over time: so much a second in the long run, and some more at once. Pure."""

from __future__ import annotations

_ROUNDING = 1e-9


class Bucket:
    """A token bucket: over any stretch of ``s`` seconds no more than ``per_s * s + burst`` is taken.

    What comes in as time passes counts for what is taken then, so a long stretch without anything allows one large
    amount that is no more than the time that has passed is worth.

    Args:
        per_s: what may be taken each second.
        burst: what may be taken at once beyond that.
    """

    __slots__ = ("_at", "_used", "burst", "per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s = per_s
        self.burst = burst
        self._used = 0.0  # of the burst
        self._at = 0.0  # when that was reckoned

    def take(self, amount: float, now: float) -> bool:
        """Take an amount, or nothing of it if it is too much; returns False then.

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
        """Return the largest amount that could be taken now and leave the whole burst."""
        return max(0.0, self.room(now) - self.burst)

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds after which an amount can be taken; 0 if it can be now."""
        return max(0.0, amount - self.room(now)) / self.per_s
