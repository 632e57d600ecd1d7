"""Limit how much a client may send in a call besides media. Pure.

Everything it sends costs tokens or processor time, so each kind has a bucket of its own. Honest clients never reach
the limits: people take seconds to type a line, and pages only report what was clicked.
"""

from __future__ import annotations

import math
from typing import Literal

from agent.bucket import Bucket

Kind = Literal["messages", "texts", "notes", "characters", "pictures", "marks"]
LIMITS: dict[Kind, tuple[float, float]] = {
    "messages": (20, 100),  # all messages on the data channel, readable or not
    "texts": (2, 20),  # typed text, and questions about pictures
    "notes": (5, 50),  # anything else that the model is told
    "characters": (2000, 128 << 10),  # in texts and notes
    "pictures": (1, 24),  # pictures sent, or requested in addition to the usual ones
    "marks": (5, 40),  # push-to-talk marks
}
"""The allowed rate per second and burst, by kind."""
ROUNDING_S = 1e-6
ANSWERED_REFUSALS = (100, 1000)
"""The rate per second and burst at which refusals are answered; further ones are silent."""


class TooFastError(Exception):
    """A client is sending more than it may.

    Args:
        kind: what it sends too much of.
        wait_s: seconds after which it may continue.
    """

    def __init__(self, kind: Kind, wait_s: float) -> None:
        per_s, burst = LIMITS[kind]
        self.retry_after_s = max(1, math.ceil(wait_s))
        super().__init__(
            f"too many {kind}: at most {per_s:g} per second, and {burst:g} at once, are allowed; "
            f"try again in {self.retry_after_s} s"
        )


class Rates:
    """How much one call's client may still send."""

    def __init__(self) -> None:
        self.refused = 0
        "Messages and requests that exceeded a limit."
        self._buckets = {kind: Bucket(*limit) for kind, limit in LIMITS.items()}
        self._refusals = Bucket(*ANSWERED_REFUSALS)

    def take(self, now: float, **amounts: float) -> None:
        """Take what a client sends from the buckets: all of it, or nothing.

        Args:
            now: monotonic seconds.
            amounts: how much, keyed by `Kind`.

        Raises:
            TooFastError: it exceeds a limit; this is counted.
        """
        self.check(now, **amounts)
        for kind, bucket in self._buckets.items():
            if amounts.get(kind):
                bucket.take(amounts[kind], now)

    def check(self, now: float, **amounts: float) -> None:
        """Check as `take` does, without taking anything."""
        for kind, bucket in self._buckets.items():
            wait_s = bucket.wait_s(amounts.get(kind, 0), now)
            if wait_s > ROUNDING_S:
                self.refused += 1
                raise TooFastError(kind, wait_s)

    def may_answer(self, now: float) -> bool:
        """Return True if the client should be told that something was refused."""
        return self._refusals.take(1, now)
