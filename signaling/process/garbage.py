"""Run Python's garbage collector while nobody is on the line.

An ended call's memory is freed with its last reference. Only a few objects per call, left by asyncio and other
libraries, are in reference cycles. Left alone, the collector would look for them in the middle of calls, among all
objects there are; or hardly ever, with thresholds as high as the service's. A collection takes some 5 ms without
calls, and about half a millisecond more for each running call.
"""

from __future__ import annotations

import asyncio
import gc
import logging

from agent.clock import monotonic
from signaling.webrtc.calls import Calls

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
MIN_NEW_OBJECTS = 1_000  # fewer objects are not worth a collection
MAX_ENDED_CALLS = 500  # after so many, a collection no longer waits for a moment without calls


def is_due(*, idle: bool, ended: int, made: tuple[int, int, int]) -> bool:
    """Return whether it is time for a collection.

    Args:
        idle: True if there has been no call for a while.
        ended: how many calls have ended since the last collection.
        made: what `gc.get_count` returns now.
    """
    return ended >= MAX_ENDED_CALLS or (idle and (made[0] > MIN_NEW_OBJECTS or made[1:] != (0, 0)))


async def collect_garbage(calls: Calls) -> None:
    """Collect garbage whenever it is due, until cancelled.

    This does nothing unless the objects made at start-up are frozen (`gc.freeze`); otherwise each collection would
    go over all of them.
    """
    was_idle = False
    collected_at = calls.ended.total()
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        idle, ended = not len(calls), calls.ended.total()
        due = is_due(idle=idle and was_idle, ended=ended - collected_at, made=gc.get_count())
        was_idle = idle
        if due and gc.get_freeze_count():
            began = monotonic()
            found = gc.collect()
            collected_at = ended
            logger.debug("collected garbage: %d objects, %.1f ms", found, 1e3 * (monotonic() - began))
