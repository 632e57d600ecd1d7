"""What is asked of the history: a page of calls, those in which something was said, one call whole. All as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, column, func, literal_column, or_, select, table, tuple_

from signaling.history.database import Database
from signaling.history.record import CallState
from signaling.history.schema import SQLITE, WORDS_INDEX, call, tool, turn
from signaling.history.search import phrases_of

MAX_PAGE = 500
DAY_MS = 86_400_000

_SUMMARY = [each for each in call.c if each.name not in ("tokens", "stats", "marks")]
_JSON = ("tokens", "stats", "marks")
_fts = table(WORDS_INDEX, column("rowid"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which calls are wanted: those that fit all that is not None.

    Attributes:
        state: as in `CallState`.
        direction: ``inbound`` or ``outbound``.
        reason: why they ended.
        fault: whose doing the end was.
        caller: who called, exactly.
        callee: who was called, exactly.
        since_ms: they began then or later, Unix milliseconds.
        until_ms: they began before that.
    """

    state: CallState | None = None
    direction: str | None = None
    reason: str | None = None
    fault: str | None = None
    caller: str | None = None
    callee: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what a row of `call` must fulfil."""
        equal = ("state", "direction", "reason", "fault", "caller", "callee")
        found = [call.c[name] == getattr(self, name) for name in equal if getattr(self, name) is not None]
        if self.since_ms is not None:
            found.append(call.c.started_ms >= self.since_ms)
        if self.until_ms is not None:
            found.append(call.c.started_ms < self.until_ms)
        return found


EVERY = Filters()


async def page(
    database: Database, before: tuple[int, str] | None = None, filters: Filters = EVERY, limit: int = 50
) -> list[dict[str, Any]]:
    """Return calls, newest first, without what was said in them.

    Args:
        database: where they are.
        before: ``started_ms`` and ``id`` of the last call of the page before.
        filters: which.
        limit: how many at most, up to `MAX_PAGE`.
    """
    wanted = select(*_SUMMARY).where(*filters.conditions())
    if before is not None:
        wanted = wanted.where(tuple_(call.c.started_ms, call.c.id) < tuple_(*before))
    wanted = wanted.order_by(call.c.started_ms.desc(), call.c.id.desc()).limit(min(limit, MAX_PAGE))
    return [_shown_call(row) for row in await _rows(database, wanted)]


async def search(
    database: Database, words: str, before: int | None = None, filters: Filters = EVERY, limit: int = 50
) -> list[dict[str, Any]]:
    """Return turns with all these words, newest first, each with its call.

    Args:
        database: where they are.
        words: as the user typed them; see `signaling.history.search`.
        before: ``id`` of the last turn of the page before.
        filters: in which calls.
        limit: how many at most, up to `MAX_PAGE`.

    Returns:
        ``{"id", "turn_id", "speaker", "started_ms", "text", "call"}`` of each.
    """
    phrases = phrases_of(words)
    if not phrases:
        return []
    hit = (turn.c.id.label("hit"), turn.c.turn_id, turn.c.speaker, turn.c.started_ms.label("said_ms"), turn.c.text)
    wanted = select(*hit, *_SUMMARY).join(call, call.c.id == turn.c.call_id).where(*filters.conditions())
    wanted = _with_words(wanted, database.dialect, phrases, before).limit(min(limit, MAX_PAGE))
    return [
        {
            "id": row["hit"],
            "turn_id": row["turn_id"],
            "speaker": row["speaker"],
            "started_ms": row["said_ms"],
            "text": row["text"],
            "call": _shown_call(row),
        }
        for row in await _rows(database, wanted)
    ]


async def one(database: Database, call_id: str) -> dict[str, Any] | None:
    """Return all that is kept of a call: ``transcript`` and ``tools`` too; None if there is no such call."""
    async with database.read() as connection:
        found = (await connection.execute(select(call).where(call.c.id == call_id))).mappings().first()
        if found is None:
            return None
        turns = await connection.execute(
            select(turn).where(turn.c.call_id == call_id).order_by(turn.c.started_ms, turn.c.id)
        )
        tools = await connection.execute(
            select(tool).where(tool.c.call_id == call_id).order_by(tool.c.started_ms, tool.c.key)
        )
        shown = _shown_call(found)
        shown |= {name: _read(found[name]) for name in _JSON}
        shown["transcript"] = [_without(row, "id", "call_id", "words") for row in turns.mappings()]
        shown["tools"] = [
            {**_without(row, "call_id"), "arguments": _read(row["arguments"]), "result": _read(row["result"])}
            for row in tools.mappings()
        ]
        return shown


async def recording_of(database: Database, call_id: str) -> tuple[str, str | None] | None:
    """Return state and key of a call's recording; None if there is no such call."""
    wanted = select(call.c.recording_state, call.c.recording_key).where(call.c.id == call_id)
    found = await _rows(database, wanted)
    return (found[0]["recording_state"], found[0]["recording_key"]) if found else None


@dataclass(frozen=True, slots=True)
class Old:
    """A call that is to be deleted.

    Attributes:
        started_ms: when it began, Unix milliseconds.
        call_id: which.
        recording_key: of its recording, if there is one.
        may_run: nobody has said that it is over.
    """

    started_ms: int
    call_id: str
    recording_key: str | None
    may_run: bool


async def older_than(database: Database, before_ms: int, after: tuple[int, str], limit: int) -> list[Old]:
    """Return calls that began before a moment, oldest first.

    Those of a process that never came back say for ever that they run, so that does not save them; but
    they get a day more.

    Args:
        database: where they are.
        before_ms: Unix milliseconds.
        after: ``started_ms`` and ``id`` of the last of the page before.
        limit: how many at most.
    """
    wanted = (
        select(call.c.started_ms, call.c.id, call.c.recording_key, call.c.state)
        .where(
            call.c.started_ms < before_ms,
            or_(call.c.state != "running", call.c.started_ms < before_ms - DAY_MS),
            tuple_(call.c.started_ms, call.c.id) > tuple_(*after),
        )
        .order_by(call.c.started_ms, call.c.id)
        .limit(limit)
    )
    rows = await _rows(database, wanted)
    return [
        Old(row["started_ms"], row["id"], row["recording_key"], may_run=row["state"] == "running") for row in rows
    ]


async def _rows(database: Database, wanted: Select[Any]) -> Sequence[Any]:
    async with database.read() as connection:
        rows: Sequence[Any] = (await connection.execute(wanted)).mappings().all()
        return rows


def _with_words(
    wanted: Select[Any], dialect: str, phrases: Iterable[Sequence[str]], before: int | None
) -> Select[Any]:
    """Take only turns with all phrases, newest first."""
    texts = [" ".join(words) for words in phrases]
    if dialect == SQLITE:
        match = literal_column(WORDS_INDEX).op("MATCH")(" ".join(f'"{each}"' for each in texts))
        rowid = _fts.c.rowid
        wanted = wanted.join(_fts, rowid == turn.c.id).where(match).order_by(rowid.desc())
    else:
        rowid = turn.c.id
        simple: ColumnElement[str] = literal_column("'simple'")
        has = [func.to_tsvector(simple, turn.c.words).op("@@")(func.phraseto_tsquery(simple, t)) for t in texts]
        wanted = wanted.where(and_(*has)).order_by(rowid.desc())
    return wanted if before is None else wanted.where(rowid < before)


def _shown_call(row: Any) -> dict[str, Any]:
    shown = {each.name: row[each.name] for each in _SUMMARY if not each.name.startswith("recording_")}
    shown["recording"] = {
        "state": row["recording_state"],
        "duration_ms": row["recording_ms"],
        "size_bytes": row["recording_bytes"],
        "lost_ms": row["recording_lost_ms"],
    }
    return shown


def _without(row: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
