"""Run code that others attach to a call in such a way that its exceptions cannot harm the call."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

logger = logging.getLogger(__name__)


def ignore(*_what: object) -> None:
    """Do nothing: replaces a callback that must not be called any more."""


def isolated(what: str, work: Callable[[], object], level: int = logging.WARNING) -> bool:
    """Do some work; log only the type and place of an error, because its message may contain the caller's words.

    Args:
        what: what is being done, for the log.
        work: may raise any Exception.
        level: the level of the log line.

    Returns:
        False if it raised.
    """
    try:
        work()
    except Exception as error:
        _log(what, error, level)
        return False
    return True


async def isolated_async(what: str, work: Callable[[], Awaitable[object]]) -> bool:
    """Do the same as `isolated`. Not even an exit() ends the service, but a cancellation is passed on."""
    try:
        await work()
    except BaseException as error:
        if is_cancellation(error):
            raise
        _log(what, error, logging.WARNING)
        return False
    return True


def is_cancellation(error: BaseException) -> bool:
    """Return True if the running task is being cancelled; code may raise CancelledError for other reasons too."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _log(what: str, error: BaseException, level: int) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    logger.log(level, "%s failed: %s%s", what, type(error).__name__, place)
