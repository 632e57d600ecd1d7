"""Warnings that are logged at most once a minute, however often their cause occurs."""

from __future__ import annotations

import logging

from agent.clock import Clock, monotonic
from signaling.process.seldom import OncePerMinute


class Complaints:
    """Warn about one kind of trouble.

    Args:
        logger: receives the warnings.
        clock: monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Clock = monotonic) -> None:
        self._logger = logger
        self._minute = OncePerMinute(clock)
        self._untold = 0

    def tell(self, what: str, error: BaseException | str) -> None:
        """Log a warning, or only count it. Only the type of an error is logged: its text may hold a caller's words.

        Args:
            what: what went wrong.
            error: why it went wrong.
        """
        if not self._minute.due():
            self._untold += 1
            return
        why = error if isinstance(error, str) else _kind(error)
        more = f" ({self._untold} more since it was last said)" if self._untold else ""
        self._untold = 0
        self._logger.warning("%s: %s%s", what, why, more)


def _kind(error: BaseException) -> str:
    """Return the types of an error and of the driver's error that caused it."""
    cause = getattr(error, "orig", None) or error.__cause__
    name = type(error).__name__
    return name if cause is None else f"{name}, {type(cause).__name__}"
