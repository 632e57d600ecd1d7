"""Delete calls that are too old: their recordings first, so that none is left without a call that names it."""

from __future__ import annotations

import asyncio
import logging

from agent.clock import Clock, unix
from signaling.history import store
from signaling.history.complaints import Complaints
from signaling.history.database import FAILURES, Database
from signaling.history.objects import Objects, StoreError
from signaling.history.read import DAY_MS, older_than

logger = logging.getLogger(__name__)

BATCH = 200  # calls per transaction, which takes some 50 ms
BETWEEN_BATCHES_S = 0.05  # lets other writers in
ROUND_S = 3600.0


async def delete_older(database: Database, objects: Objects | None, before_ms: int, now_ms: int) -> int:
    """Delete the calls that began before a given time; return how many there were.

    A call whose recording cannot be deleted is kept, and tried again in the next round.

    Raises:
        StoreError: at least one call was kept.
    """
    deleted, kept, after = 0, 0, (0, "")
    while old := await older_than(database, before_ms, after, BATCH):
        after = (old[-1].started_ms, old[-1].call_id)
        gone = []
        for each in old:
            try:
                if objects is not None and each.recording_key is not None:
                    await objects.delete(each.recording_key)
                gone.append(each)
            except StoreError:
                kept += 1
        for may_run in (False, True):
            ids = [each.call_id for each in gone if each.may_run == may_run]
            deleted += await store.erase(database, ids, now_ms, remember=may_run) if ids else 0
        await asyncio.sleep(BETWEEN_BATCHES_S)
    if kept:
        raise StoreError(f"the recordings of {kept} calls could not be deleted, so these calls are kept")
    return deleted


async def keep_days(database: Database, objects: Objects | None, days: float | None, clock: Clock = unix) -> None:
    """Delete old calls every hour, and remove erased data that may still be in the files; until cancelled.

    Args:
        database: holds the calls.
        objects: holds their recordings.
        days: how long calls are kept; None keeps them for ever.
        clock: Unix seconds.
    """
    complaints = Complaints(logger)
    while True:
        now_ms = round(clock() * 1000)
        try:
            await store.forget_erased(database, now_ms)
            await database.tune()
            if days is not None:
                deleted = await delete_older(database, objects, now_ms - round(days * DAY_MS), now_ms)
                if deleted:
                    logger.info("history: %d calls older than %g days were deleted", deleted, days)
                    await database.scrub(rewrite=False)
        except (*FAILURES, StoreError) as error:
            complaints.tell("history: old calls could not be deleted", error)
        try:
            if database.must_scrub:
                await database.scrub()
        except FAILURES as error:
            complaints.tell("history: what was deleted may still be in the file", error)
        await asyncio.sleep(ROUND_S)
