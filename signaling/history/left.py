"""Find the recordings that an earlier process left unfinished, because it was killed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import or_, select

from signaling.history.database import Database
from signaling.history.record import CallStart
from signaling.history.schema import call, erased
from signaling.history.store import start_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A call whose recording may be unfinished.

    Attributes:
        start: the call.
        key: the recording's key; None if the call was not recorded, or was killed before this was noted.
        cut_off: True if the process was killed during the call, and not only before its recording was stored.
        duration_ms: the recording's length, if it is known.
        lost_ms: how much of it is silent because packets were dropped.
    """

    start: CallStart
    key: str | None
    cut_off: bool
    duration_ms: int | None
    lost_ms: int


async def left_recordings(database: Database, worker: str) -> list[Left]:
    """Return the calls of a worker's earlier processes whose recordings may be unfinished.

    Args:
        database: holds the calls.
        worker: the worker's name; its calls must not have been closed by `note_crashes` yet.
    """
    unfinished = or_(call.c.state == "running", call.c.recording_state == "writing")
    async with database.read() as connection:
        rows = (await connection.execute(select(call).where(call.c.worker == worker, unfinished))).mappings().all()
    return [
        Left(
            start=start_of(row),
            key=row["recording_key"],
            cut_off=row["state"] != "ended",
            duration_ms=row["recording_ms"],
            lost_ms=row["recording_lost_ms"],
        )
        for row in rows
        if row["recording_state"] in ("off", "writing")
    ]


async def erased_among(database: Database, call_ids: Collection[str]) -> set[str]:
    """Return which of these calls were erased lately."""
    async with database.read() as connection:
        return set(await connection.scalars(select(erased.c.id).where(erased.c.id.in_(call_ids))))
