"""When a picture of the caller's is wanted, and when to ask the caller for one. Pure.

A picture can be had cheaply only from a key frame, and senders make those only when asked (RFC 4585 section 6.3.1,
Picture Loss Indication). So: one key frame is taken per period; when the next is due and video still comes, one is
asked for, and asked for again if none came.
"""

from __future__ import annotations

REPEAT_S = 1.0  # a lost request, or a key frame that lost a packet for good
FIRST_GRACE_S = 0.3  # a stream begins with a key frame: it is about to be complete
MAX_SILENT_ASKS = 3  # a sender that has gone silent is not asked for ever


class Throttle:
    """Take at most ``fps`` key frames a second.

    Args:
        fps: above 0.
    """

    def __init__(self, fps: float) -> None:
        self.period_s = 1 / fps
        self._due: float | None = None  # None: nothing was taken yet
        self._ask_at: float | None = None
        self._flowing = False  # something arrived since the last key frame was taken
        self._silent_asks = 0  # since something arrived

    def arrived(self, now: float) -> bool:
        """Note that video arrived, of any kind.

        Returns:
            True if `ask_in` has something new to say.
        """
        self._silent_asks = 0
        if self._flowing:
            return False
        self._flowing = True
        if self._ask_at is None:
            self._ask_at = now + FIRST_GRACE_S
        return True

    def wants(self, now: float) -> bool:
        """Return True if a key frame would be taken now."""
        return self._due is None or now >= self._due

    def take(self, now: float) -> None:
        """Note that a key frame was taken; usable or not, the next one has to wait."""
        self._due = self._ask_at = now + self.period_s
        self._flowing = False

    def ask_in(self, now: float) -> float | None:
        """Return in how many seconds a key frame is to be asked for; None if not before more video arrives."""
        if not self._flowing or self._ask_at is None:
            return None
        return max(0.0, self._ask_at - now)

    def asked(self, now: float) -> None:
        """Note that a key frame was asked for."""
        self._ask_at = now + REPEAT_S
        self._silent_asks += 1
        if self._silent_asks >= MAX_SILENT_ASKS:
            self._flowing = False
