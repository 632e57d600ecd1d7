"""Run Python's garbage collector while nobody is on the line.

An ended call's memory is freed with its last reference. Only a few objects in a hundred calls, left by libraries,
are in reference cycles. Left alone, the collector would look for them in the middle of calls, among all objects
there are, and nobody would be heard meanwhile: for close to a millisecond per running call
(`python -m tests.bench.garbage`).
"""

from __future__ import annotations

import asyncio
import gc
import logging

from agent.clock import monotonic
from signaling.webrtc.calls import Calls

logger = logging.getLogger(__name__)

# The media path makes no reference cycles: with Python's default of 700 objects the collector would run all the
# time without finding anything. It begins a full collection by itself only after 200 million new objects, which is
# for a service that has no moment without calls and whose calls never end.
THRESHOLDS = (10_000, 20, 1_000)

CHECK_INTERVAL_S = 1.0
MIN_NEW_OBJECTS = 1_000  # fewer objects are not worth a collection
MAX_ENDED_CALLS = 500  # after so many, a collection no longer waits for a moment without calls
ENDED_PER_RUNNING_CALL = 100  # but the more are running, the longer: each makes it take longer, and is disturbed
MAX_LASTING_OBJECTS = 2_000  # more than these are left out of later collections


def take_over() -> None:
    """Leave what has been made so far out of all later collections, and have full ones begin here.

    Objects made at start-up stay for good; a full collection over them would stop the loop for some 70 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def is_due(*, running: int, idle: bool, ended: int, made: tuple[int, int, int]) -> bool:
    """Return whether it is time for a collection.

    Args:
        running: how many calls there are.
        idle: True if there has been none for a while.
        ended: how many calls have ended since the last collection.
        made: what `gc.get_count` returns now.
    """
    if idle:
        return made[0] > MIN_NEW_OBJECTS or made[1:] != (0, 0)
    return ended >= patience(running)


def patience(running: int) -> int:
    """Return after how many ended calls a collection comes in the middle of so many running ones."""
    return max(MAX_ENDED_CALLS, ENDED_PER_RUNNING_CALL * running)


async def collect_garbage(calls: Calls) -> None:
    """Collect garbage whenever it is due, until cancelled.

    This does nothing unless the collector was taken over (`take_over`).
    """
    was_idle = False
    collected_at = calls.ended.total()
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        running, ended = len(calls), calls.ended.total()
        idle = not running and was_idle
        was_idle = not running
        due = is_due(running=running, idle=idle, ended=ended - collected_at, made=gc.get_count())
        if due and gc.get_freeze_count():
            began = monotonic()
            found = gc.collect()
            collected_at = ended
            if idle and len(gc.get_objects()) > MAX_LASTING_OBJECTS:
                gc.freeze()  # what the first calls have made for all: validators, caches, modules
            logger.debug("collected garbage: %d objects, %.1f ms", found, 1e3 * (monotonic() - began))
