"""How much a client may send in a call beside its media. Pure.

Whatever it sends costs the model's tokens or our time, so each kind has a bucket of its own. No honest client meets
them: people type a line in seconds, and pages tell of what is clicked.
"""

from __future__ import annotations

import math
from typing import Literal

from agent.bucket import Bucket

Kind = Literal["messages", "texts", "notes", "characters", "pictures", "marks"]
LIMITS: dict[Kind, tuple[float, float]] = {
    "messages": (20, 100),  # of any kind on the data channel, readable or not
    "texts": (2, 20),  # typed, and questions about pictures
    "notes": (5, 50),  # whatever else the model is told
    "characters": (2000, 128 << 10),  # of texts and notes
    "pictures": (1, 24),  # sent, or asked for beside the usual ones
    "marks": (5, 40),  # of push-to-talk
}
"""A second, and at once."""
ROUNDING_S = 1e-6
ANSWERED_REFUSALS = (100, 1000)  # what comes faster is refused without a word


class TooFastError(Exception):
    """A client sends more than it may.

    Args:
        kind: of what.
        wait_s: seconds after which it may go on.
    """

    def __init__(self, kind: Kind, wait_s: float) -> None:
        per_s, burst = LIMITS[kind]
        self.retry_after_s = max(1, math.ceil(wait_s))
        super().__init__(
            f"too many {kind}: {per_s:g} a second are taken, and {burst:g} at once; "
            f"try again in {self.retry_after_s} s"
        )


class Rates:
    """What one call's client may still send."""

    def __init__(self) -> None:
        self.refused = 0
        "Messages and requests that were too much."
        self._buckets = {kind: Bucket(*limit) for kind, limit in LIMITS.items()}
        self._refusals = Bucket(*ANSWERED_REFUSALS)

    def take(self, now: float, **amounts: float) -> None:
        """Take note of what a client sends: all of it, or nothing.

        Args:
            now: monotonic seconds.
            amounts: by `Kind`.

        Raises:
            TooFastError: it is more than it may be; it is counted.
        """
        self.check(now, **amounts)
        for kind, bucket in self._buckets.items():
            if amounts.get(kind):
                bucket.take(amounts[kind], now)

    def check(self, now: float, **amounts: float) -> None:
        """As `take`, but take nothing yet."""
        for kind, bucket in self._buckets.items():
            wait_s = bucket.wait_s(amounts.get(kind, 0), now)
            if wait_s > ROUNDING_S:
                self.refused += 1
                raise TooFastError(kind, wait_s)

    def may_answer(self, now: float) -> bool:
        """Say whether the client is to be told that something was refused."""
        return self._refusals.take(1, now)
