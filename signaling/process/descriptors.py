"""Watch file descriptors: a call needs several, and a process without any left cannot even refuse a call."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Callable

from agent.clock import Clock

logger = logging.getLogger(__name__)

MAX_USED_SHARE = 0.8
COUNT_INTERVAL_S = 1.0
OPEN_FILES_FOLDER = "/proc/self/fd"


def raise_limit() -> int:
    """Raise the limit as far as the system allows; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            logger.warning("only %d file descriptors: the limit cannot be raised: %s", soft, error)
            return soft
    return hard


def open_descriptors() -> int:
    """Return the number of open descriptors of this process; 0 where the system does not tell."""
    try:
        return len(os.listdir(OPEN_FILES_FOLDER))  # noqa: PTH208  a path per entry would cost ten times as much
    except FileNotFoundError:
        return 0


def limit() -> int:
    """Return how many descriptors this process may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Descriptors:
    """Tell when descriptors run short; they are counted at most once a second.

    Args:
        clock: monotonic seconds.
        count: returns how many are open.
    """

    def __init__(self, clock: Clock, count: Callable[[], int] = open_descriptors) -> None:
        self._clock = clock
        self._count = count
        self._counted_at = -COUNT_INTERVAL_S
        self._short = False

    def short(self) -> bool:
        """Return whether more than `MAX_USED_SHARE` of the limit is in use."""
        now = self._clock()
        if now - self._counted_at >= COUNT_INTERVAL_S:
            self._counted_at = now
            used, allowed = self._count(), limit()
            short = used > MAX_USED_SHARE * allowed
            if short and not self._short:
                logger.warning("%d of %d file descriptors are in use: no calls are accepted for now", used, allowed)
            self._short = short
        return self._short
