"""Run what others hang onto a call, so that whatever it raises stays in it."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

logger = logging.getLogger(__name__)


def ignore(*_what: object) -> None:
    """Stand in for somebody who is to be told nothing any more."""


def isolated(what: str, work: Callable[[], object], level: int = logging.WARNING) -> bool:
    """Do some work; an error of it is logged by its type and place, because its words may be the caller's.

    Args:
        what: what is done, for the log.
        work: may raise anything.
        level: of the line in the log.

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
    """Do as `isolated`; somebody's exit() does not end the service either. A cancellation goes through."""
    try:
        await work()
    except BaseException as error:
        if is_cancellation(error):
            raise
        _log(what, error, logging.WARNING)
        return False
    return True


def is_cancellation(error: BaseException) -> bool:
    """Say whether an error is that the task which runs is being cancelled; others raise CancelledError for less."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _log(what: str, error: BaseException, level: int) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    logger.log(level, "%s failed: %s%s", what, type(error).__name__, place)
