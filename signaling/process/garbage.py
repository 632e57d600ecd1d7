"""Run Python's garbage collector while nobody is on the line.

The memory of an ended call is freed with its last reference. Only what asyncio and other libraries leave of it, a
few objects per call, is in reference cycles. Left alone, the collector would search for those in the middle of
calls, over all objects there are; or hardly ever, with thresholds as high as the service's. A collection takes some
5 ms while there is no call, and about half a millisecond more for each that is up.
"""

from __future__ import annotations

import asyncio
import gc
import logging

from agent.clock import monotonic
from signaling.webrtc.calls import Calls

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
MIN_NEW_OBJECTS = 1_000  # fewer are not worth a collection
MAX_ENDED_CALLS = 500  # after so many, a collection no longer waits for a moment without calls


def is_due(*, idle: bool, ended: int, made: tuple[int, int, int]) -> bool:
    """Say whether it is time for a collection.

    Args:
        idle: there has been no call for a while.
        ended: how many calls have ended since the last collection.
        made: `gc.get_count` now.
    """
    return ended >= MAX_ENDED_CALLS or (idle and (made[0] > MIN_NEW_OBJECTS or made[1:] != (0, 0)))


async def collect_garbage(calls: Calls) -> None:
    """Collect garbage whenever it is due, until cancelled.

    Does nothing unless the objects made at start-up are out of the way (`gc.freeze`): each collection would
    otherwise go over all of them.
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
