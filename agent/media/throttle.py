"""Decide when to take a picture of the caller's video, and when to request a key frame for one. Pure.

Only key frames make cheap pictures, and senders produce those only on request (RFC 4585 section 6.3.1, Picture Loss
Indication). So one key frame is taken per period. When the next one is due and video is still arriving, a key frame
is requested, and requested again if none comes.
"""

from __future__ import annotations

REPEAT_S = 1.0  # after a lost request, or a key frame that lost a packet
FIRST_GRACE_S = 0.3  # a stream begins with a key frame, which is about to be complete
MAX_SILENT_REQUESTS = 3  # after that, a sender that has gone silent is no longer asked


class Throttle:
    """Takes at most ``fps`` key frames per second.

    Args:
        fps: above 0.
    """

    def __init__(self, fps: float) -> None:
        self.period_s = 1 / fps
        self._due: float | None = None  # None until the first key frame is taken
        self._ask_at: float | None = None
        self._flowing = False  # something has arrived since the last key frame was taken
        self._silent_requests = 0  # requests since something arrived

    def arrived(self, now: float) -> bool:
        """Note that any video packet arrived.

        Returns:
            True if the result of `ask_in` has changed.
        """
        self._silent_requests = 0
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
        """Note that a key frame was taken; the next one has to wait even if this one was unusable."""
        self._due = self._ask_at = now + self.period_s
        self._flowing = False

    def ask_in(self, now: float) -> float | None:
        """Return the seconds until a key frame should be requested; None if more video must arrive first."""
        if not self._flowing or self._ask_at is None:
            return None
        return max(0.0, self._ask_at - now)

    def asked(self, now: float) -> None:
        """Note that a key frame was requested."""
        self._ask_at = now + REPEAT_S
        self._silent_requests += 1
        if self._silent_requests >= MAX_SILENT_REQUESTS:
            self._flowing = False
