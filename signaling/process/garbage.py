"""When Python looks for memory that holds itself: while nobody is on the line.

An ended call's memory goes by itself; what asyncio and others leave of it, a few objects per call, holds itself.
Python would look for it in the middle of calls, and over all that lives; or hardly ever, with thresholds as high as
the service's. A look takes some 5 ms while there is no call, and about half a millisecond more for each that is up.
"""

from __future__ import annotations

import asyncio
import gc
import logging

from agent.clock import monotonic
from signaling.webrtc.calls import Calls

logger = logging.getLogger(__name__)

LOOK_S = 1.0
FEW_OBJECTS = 1_000  # made since the last look; not worth another one
MOST_ENDED = 500  # calls since the last look; then it does not wait for a moment without calls any more


def is_due(*, idle: bool, ended: int, made: tuple[int, int, int]) -> bool:
    """Say whether it is time to look.

    Args:
        idle: there has been no call for a while.
        ended: calls since the last look.
        made: `gc.get_count` now.
    """
    return ended >= MOST_ENDED or (idle and (made[0] > FEW_OBJECTS or made[1:] != (0, 0)))


async def collect_garbage(calls: Calls) -> None:
    """Look once a second whether it is time to; until cancelled.

    Only where what start-up made is out of the way (`gc.freeze`): else a look would go over all of it.
    """
    was_idle = False
    looked_at = calls.ended.total()
    while True:
        await asyncio.sleep(LOOK_S)
        idle, ended = not len(calls), calls.ended.total()
        due = is_due(idle=idle and was_idle, ended=ended - looked_at, made=gc.get_count())
        was_idle = idle
        if due and gc.get_freeze_count():
            began = monotonic()
            found = gc.collect()
            looked_at = ended
            logger.debug(
                "looked for memory that holds itself: %d objects, %.1f ms", found, 1e3 * (monotonic() - began)
            )
