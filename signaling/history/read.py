"""Read the history: a page of calls, a search for words, one whole call. All results are JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Select,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    tuple_,
)

from signaling.history.database import Database
from signaling.history.record import CallState
from signaling.history.schema import SQLITE, TURNS_PER_MS, WORDS_INDEX, call, tool, turn
from signaling.history.search import phrases_of

MAX_PAGE = 500
FEW = 300  # the turns of this many calls can be scanned within a few milliseconds
LOOKED_AT = 5_000  # turns with the words that are checked against the filters for one page
DAY_MS = 86_400_000

_SUMMARY = [each for each in call.c if each.name not in ("tokens", "stats", "marks", "summary")]
_JSON = ("tokens", "stats", "marks", "summary")
_fts = table(WORDS_INDEX, column("rowid", Integer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which calls are wanted: those that match every filter that is not None.

    Attributes:
        state: as in `CallState`.
        direction: ``inbound`` or ``outbound``.
        reason: why the call ended.
        fault: who caused the end.
        caller: who called; an exact match.
        callee: who was called; an exact match.
        since_ms: the call began at this time or later, in Unix milliseconds.
        until_ms: the call began before this time, in Unix milliseconds.
    """

    state: CallState | None = None
    direction: str | None = None
    reason: str | None = None
    fault: str | None = None
    caller: str | None = None
    callee: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def equal(self) -> list[ColumnElement[bool]]:
        """Return the conditions on a row of `call`, apart from when the call began."""
        names = ("state", "direction", "reason", "fault", "caller", "callee")
        found = [call.c[name] == getattr(self, name) for name in names if getattr(self, name) is not None]
        if self.state is not None and self.state != "ended":
            found.append(call.c.state != "ended")  # the condition of the partial index
        return found

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return all conditions on a row of `call`."""
        found = self.equal()
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
        database: holds the calls.
        before: ``started_ms`` and ``id`` of the last call on the previous page.
        filters: which calls are wanted.
        limit: the maximum number of calls, up to `MAX_PAGE`.
    """
    wanted = select(*_SUMMARY).where(*filters.conditions())
    if before is not None:
        wanted = wanted.where(tuple_(call.c.started_ms, call.c.id) < tuple_(*before))
    wanted = wanted.order_by(call.c.started_ms.desc(), call.c.id.desc()).limit(min(limit, MAX_PAGE))
    return [_shown_call(row) for row in await _rows(database, wanted)]


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search's results.

    Attributes:
        hits: ``{"id", "turn_id", "speaker", "started_ms", "text", "call"}`` for each turn, newest first.
        before: where the next page begins; None if there is none. With filters, a page that is not the last may
            still be short or empty, because the number of turns examined for a page is bounded.
    """

    hits: list[dict[str, Any]]
    before: int | None


async def search(
    database: Database, words: str, before: int | None = None, filters: Filters = EVERY, limit: int = 50
) -> Found:
    """Find turns with all these words, in the newest calls first.

    Args:
        database: holds the turns.
        words: as the user typed them; see `signaling.history.search`.
        before: `Found.before` of the previous page.
        filters: the calls to search in.
        limit: the maximum number of turns, up to `MAX_PAGE`.
    """
    phrases = [" ".join(words) for words in phrases_of(words)]
    limit = min(limit, MAX_PAGE)
    if not phrases:
        return Found([], None)
    span = _span(filters, before)
    conditions = filters.equal()
    if conditions and await _are_few(database, filters):
        # Scanning the turns of these few calls is faster than looking up all turns that have the words.
        has = [literal(" ").concat(turn.c.words).concat(" ").like(f"% {phrase} %") for phrase in phrases]
        hits = await _hits(
            database, _turns().where(*filters.conditions(), *span(turn.c.id), *has), turn.c.id, limit
        )
        return Found(hits, hits[-1]["id"] if len(hits) == limit else None)
    looked_at = LOOKED_AT if conditions else limit
    with_words = _with_words(database.dialect, phrases, span).limit(looked_at).cte("with_words")
    wanted = _turns().join(with_words, with_words.c.id == turn.c.id).where(*conditions)
    hits = await _hits(database, wanted, with_words.c.id, limit)
    if len(hits) == limit:
        return Found(hits, hits[-1]["id"])
    last = select(func.count().label("count"), func.min(with_words.c.id).label("last"))
    (row,) = await _rows(database, last) if conditions else ({"count": 0, "last": None},)
    return Found(hits, row["last"] if row["count"] == LOOKED_AT else None)


async def one(database: Database, call_id: str) -> dict[str, Any] | None:
    """Return everything kept about a call, with ``transcript`` and ``tools``; None if there is no such call."""
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
    """Return the state and the key of a call's recording; None if there is no such call."""
    wanted = select(call.c.recording_state, call.c.recording_key).where(call.c.id == call_id)
    found = await _rows(database, wanted)
    return (found[0]["recording_state"], found[0]["recording_key"]) if found else None


@dataclass(frozen=True, slots=True)
class Old:
    """A call to be deleted.

    Attributes:
        started_ms: when it began, in Unix milliseconds.
        call_id: its id.
        recording_key: the key of its recording; None if it has none.
        may_run: True if its end was never noted.
    """

    started_ms: int
    call_id: str
    recording_key: str | None
    may_run: bool


async def older_than(database: Database, before_ms: int, after: tuple[int, str], limit: int) -> list[Old]:
    """Return calls that began before a given time, oldest first.

    Calls of a process that never came back stay marked as running for ever, so running calls are returned as well,
    but only when they are a day older.

    Args:
        database: holds the calls.
        before_ms: the time, in Unix milliseconds.
        after: ``started_ms`` and ``id`` of the last call on the previous page.
        limit: the maximum number of calls.
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


async def _rows(database: Database, wanted: Executable) -> Sequence[Any]:
    async with database.read() as connection:
        rows: Sequence[Any] = (await connection.execute(wanted)).mappings().all()
        return rows


def _span(filters: Filters, before: int | None) -> Callable[[ColumnElement[int]], list[ColumnElement[bool]]]:
    """Return the conditions on a turn's id, which encodes when its call began."""

    def conditions(turn_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
        found = []
        if filters.since_ms is not None:
            found.append(turn_id >= filters.since_ms * TURNS_PER_MS)
        if filters.until_ms is not None:
            found.append(turn_id < filters.until_ms * TURNS_PER_MS)
        if before is not None:
            found.append(turn_id < before)
        return found

    return conditions


async def _are_few(database: Database, filters: Filters) -> bool:
    """Return whether so few calls match that all their turns can be scanned."""
    fitting = select(call.c.id).where(*filters.conditions()).limit(FEW + 1).subquery()
    (row,) = await _rows(database, select(func.count().label("count")).select_from(fitting))
    return bool(row["count"] <= FEW)


def _turns() -> Select[Any]:
    hit = (turn.c.id.label("hit"), turn.c.turn_id, turn.c.speaker, turn.c.started_ms.label("said_ms"), turn.c.text)
    return select(*hit, *_SUMMARY).join(call, call.c.id == turn.c.call_id)


async def _hits(
    database: Database, wanted: Select[Any], order: ColumnElement[int], limit: int
) -> list[dict[str, Any]]:
    return [
        {
            "id": row["hit"],
            "turn_id": row["turn_id"],
            "speaker": row["speaker"],
            "started_ms": row["said_ms"],
            "text": row["text"],
            "call": _shown_call(row),
        }
        for row in await _rows(database, wanted.order_by(order.desc()).limit(limit))
    ]


def _with_words(
    dialect: str, phrases: Sequence[str], span: Callable[[ColumnElement[int]], list[ColumnElement[bool]]]
) -> Select[Any]:
    """Select the ids of the turns that have all the phrases, newest first."""
    if dialect == SQLITE:
        rowid = _fts.c.rowid
        match = literal_column(WORDS_INDEX).op("MATCH")(" ".join(f'"{phrase}"' for phrase in phrases))
        return select(rowid.label("id")).select_from(_fts).where(match, *span(rowid)).order_by(rowid.desc())
    lexemes: ColumnElement[Any] = literal_column("turn.lexemes")
    simple: ColumnElement[str] = literal_column("'simple'")
    has = [lexemes.op("@@")(func.phraseto_tsquery(simple, phrase)) for phrase in phrases]
    return select(turn.c.id).where(*has, *span(turn.c.id)).order_by(turn.c.id.desc())


def _shown_call(row: Any) -> dict[str, Any]:
    shown = {each.name: row[each.name] for each in _SUMMARY if not each.name.startswith("recording_")}
    shown["recording"] = {
        "state": row["recording_state"],
        "duration_ms": row["recording_ms"],
        "size_bytes": row["recording_bytes"],
        "lost_ms": row["recording_lost_ms"],
        "cut_off": row["state"] == "crashed" and row["recording_state"] == "stored",
    }
    return shown


def _without(row: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
