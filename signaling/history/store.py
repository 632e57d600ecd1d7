"""Write to the history, and erase from it for good. Each batch is one transaction and may be written twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from signaling.history.database import Database
from signaling.history.outbox import Message, ended_message
from signaling.history.record import (
    CRASHED,
    MAX_MARKS_CHARS,
    CallEnd,
    CallStart,
    Recording,
    Summary,
    ToolUse,
    Turn,
    stored_json,
    stored_number,
    stored_text,
)
from signaling.history.schema import TURNS_PER_MS, call, erased, outbox, tool, turn
from signaling.history.search import words_of

MAX_NAME_CHARS = 200  # for indexed columns
MAX_SEARCHED_CHARS = 100_000  # per turn; PostgreSQL's full-text index takes at most 1 MB
KNOWN_ERASED_MS = 7 * 86_400_000  # longer than any call lasts, including the items that come after its end

Fact = CallStart | Turn | ToolUse | CallEnd | Recording | Summary


@dataclass(frozen=True, slots=True)
class Item:
    """One item to write.

    Attributes:
        call: the call that it is about; its row is created if it is missing.
        fact: what happened.
        message: the message to other services about it, written in the same transaction.
    """

    call: CallStart
    fact: Fact
    message: Message | None = None


async def write(database: Database, worker: str, items: Sequence[Item]) -> list[str]:
    """Write a batch in one transaction.

    Args:
        database: where to write.
        worker: the name of the process that runs these calls.
        items: in the order in which they happened.

    Returns:
        The keys of recordings whose calls have been erased; nothing else points to them any more.
    """
    async with database.write() as connection:
        begun = {item.call.call_id: item.call for item in items}
        await connection.execute(
            database.insert(call).on_conflict_do_nothing(), [_call_row(each, worker) for each in begun.values()]
        )
        gone = set(await connection.scalars(select(erased.c.id).where(erased.c.id.in_(begun))))
        if gone:
            await connection.execute(delete(call).where(call.c.id.in_(gone)))
        kept = [item for item in items if item.call.call_id not in gone]
        await _add(database, connection, kept)
        for item in kept:
            match item.fact:
                case CallEnd() as end:
                    await _change(connection, item.call.call_id, _end_row(end))
                case Recording() as recording:
                    await _change(connection, item.call.call_id, _recording_row(recording))
                case Summary() as summary:
                    await _change(connection, item.call.call_id, {"summary": stored_json(asdict(summary))})
        return [
            item.fact.key
            for item in items
            if item.call.call_id in gone and isinstance(item.fact, Recording) and item.fact.key is not None
        ]


async def note_crashes(
    database: Database, worker: str, now_ms: int, new_message_id: Callable[[], str] | None
) -> int:
    """Close the calls that an earlier process of this worker left running, and release the messages that it held.

    Args:
        database: holds the calls.
        worker: the worker's name; the worker must not be running yet.
        now_ms: Unix milliseconds.
        new_message_id: makes ids for messages to other services; None if they are told nothing.

    Returns:
        The number of calls closed.
    """
    async with database.write() as connection:
        await connection.execute(
            update(outbox)
            .where(outbox.c.holder == worker, outbox.c.done_ms.is_(None))
            .values(holder=None, due_ms=now_ms)
        )
        last_word = select(func.max(turn.c.ended_ms)).where(turn.c.call_id == call.c.id).scalar_subquery()
        left = await connection.execute(
            select(call, last_word.label("last_word_ms")).where(call.c.state == "running", call.c.worker == worker)
        )
        rows = left.mappings().all()
        for row in rows:
            end = CallEnd(
                ended_ms=max(row["started_ms"], row["last_word_ms"] or 0),
                reason=CRASHED[0],
                detail=CRASHED[1],
                fault="operator",
                state="crashed",
            )
            await _change(connection, row["id"], {**_end_row(end), **_counted(row)})
            if new_message_id is not None:
                message = ended_message(new_message_id(), start_of(row), end, now_ms)
                await connection.execute(_outbox(database), [_message_row(message)])
        return len(rows)


async def erase(database: Database, call_ids: Collection[str], now_ms: int, *, remember: bool) -> int:
    """Delete calls and everything that belongs to them, except their recordings.

    Args:
        database: holds the calls.
        call_ids: the ids of the calls.
        now_ms: Unix milliseconds.
        remember: refuse later items of these calls; not needed for calls that ended long ago.

    Returns:
        The number of calls deleted.
    """
    async with database.write() as connection:
        if remember:
            rows = [{"id": call_id, "erased_ms": now_ms} for call_id in call_ids]
            await connection.execute(database.insert(erased).on_conflict_do_nothing(), rows)
        for table in (turn, tool, outbox):
            await connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
        result = await connection.execute(delete(call).where(call.c.id.in_(call_ids)))
        return result.rowcount


async def forget_erased(database: Database, now_ms: int) -> None:
    """Forget the ids of calls that were erased so long ago that no further item of them can come."""
    async with database.write() as connection:
        await connection.execute(delete(erased).where(erased.c.erased_ms < now_ms - KNOWN_ERASED_MS))


def start_of(row: Any) -> CallStart:
    """Return a call's `CallStart` from its row."""
    return CallStart(
        call_id=row["id"],
        started_ms=row["started_ms"],
        model=row["model"],
        direction=row["direction"],
        caller=row["caller"],
        callee=row["callee"],
        codec=row["codec"],
        trace_id=row["trace_id"],
    )


async def _add(database: Database, connection: AsyncConnection, items: Sequence[Item]) -> None:
    """Insert turns, tool calls and messages; existing ones are left as they are."""
    turns = [_turn_row(i.call, i.fact) for i in items if isinstance(i.fact, Turn)]
    if turns:
        turns.sort(key=lambda row: row["first_id"])  # the full-text index is fastest when ids come in order
        new = (
            database.insert(turn).values(id=_next_id).on_conflict_do_nothing(index_elements=["call_id", "turn_id"])
        )
        await connection.execute(new, turns)
    for table, rows in (
        (tool, [_tool_row(i.call.call_id, i.fact) for i in items if isinstance(i.fact, ToolUse)]),
        (outbox, [_message_row(i.message) for i in items if i.message is not None]),
    ):
        if rows:
            await connection.execute(database.insert(table).on_conflict_do_nothing(), rows)


async def _change(connection: AsyncConnection, call_id: str, values: dict[str, Any]) -> None:
    await connection.execute(update(call).where(call.c.id == call_id).values(values))


_first_id = bindparam("first_id", type_=BigInteger)
_ids_of_that_ms = turn.alias("of_that_ms").c.id
_next_id = (
    select(func.coalesce(func.max(_ids_of_that_ms), _first_id) + 1)
    .where(_ids_of_that_ms >= _first_id, _ids_of_that_ms < _first_id + TURNS_PER_MS)
    .scalar_subquery()
)
"""The next free turn id among the calls that began in the same millisecond. If two processes take the same one, one
of them writes its batch again."""


def _outbox(database: Database) -> Any:
    return database.insert(outbox).on_conflict_do_nothing()


def _counted(row: Any) -> dict[str, Any]:
    """Return the figures that a crashed call's row already has, so that they are kept."""
    return {name: row[name] for name in ("turns", "interruptions", "stats", "marks", "tokens", "cost_usd")}


def _name(text: str | None) -> str | None:
    return None if text is None else stored_text(text[:MAX_NAME_CHARS])


def _call_row(start: CallStart, worker: str) -> dict[str, Any]:
    return {
        "id": start.call_id,
        "worker": worker,
        "state": "running",
        "started_ms": start.started_ms,
        "direction": start.direction,
        "caller": _name(start.caller),
        "callee": _name(start.callee),
        "model": _name(start.model),
        "codec": _name(start.codec),
        "trace_id": _name(start.trace_id),
        "turns": 0,
        "interruptions": 0,
        "recording_state": "off",
        "recording_lost_ms": 0,
    }


def _turn_row(start: CallStart, said: Turn) -> dict[str, Any]:
    return {
        "first_id": start.started_ms * TURNS_PER_MS,
        "call_id": start.call_id,
        "turn_id": _name(said.turn_id),
        "speaker": said.speaker,
        "started_ms": said.started_ms,
        "ended_ms": said.ended_ms,
        "text": stored_text(said.text),
        "unheard": stored_text(said.unheard),
        "interrupted": said.interrupted,
        "estimated": said.estimated,
        "typed": said.typed,
        "response_ms": said.response_ms,
        "words": " ".join(words_of(stored_text(said.text[:MAX_SEARCHED_CHARS]))),
    }


def _tool_row(call_id: str, use: ToolUse) -> dict[str, Any]:
    return {
        "call_id": call_id,
        "key": _name(use.key),
        "name": _name(use.name),
        "started_ms": use.started_ms,
        "ended_ms": use.ended_ms,
        "outcome": _name(use.outcome),
        "arguments": stored_json(use.arguments),
        "result": stored_json(use.result),
    }


def _end_row(end: CallEnd) -> dict[str, Any]:
    codec = {} if end.codec is None else {"codec": _name(end.codec)}
    return codec | {
        "state": end.state,
        "ended_ms": end.ended_ms,
        "reason": _name(end.reason),
        "detail": stored_text(end.detail),
        "fault": end.fault,
        "turns": end.turns,
        "interruptions": end.interruptions,
        "cost_usd": stored_number(end.cost_usd),
        "tokens": stored_json(end.tokens),
        "stats": stored_json(end.stats),
        "marks": stored_json(end.marks, MAX_MARKS_CHARS),
        "mos_in": stored_number(end.mos_in),
        "mos_out": stored_number(end.mos_out),
    }


def _recording_row(recording: Recording) -> dict[str, Any]:
    return {
        "recording_state": recording.state,
        "recording_key": recording.key,
        "recording_ms": recording.duration_ms,
        "recording_bytes": recording.size_bytes,
        "recording_lost_ms": recording.lost_ms,
    }


def _message_row(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "call_id": message.call_id,
        "type": message.type,
        "body": message.body,
        "created_ms": message.due_ms,
        "attempts": 0,
        "due_ms": message.due_ms,
    }
