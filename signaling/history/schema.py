"""The tables, which are the same for SQLite and PostgreSQL except for the full-text index. Pure.

Times are Unix milliseconds. JSON values are stored as text, because no query looks inside them.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    event,
)

VERSION = 1
"The version of these tables. To change them, increment it and add the migration to `signaling.history.store`."

SQLITE, POSTGRESQL = "sqlite", "postgresql"

metadata = MetaData()

version = Table("history_version", metadata, Column("version", Integer, primary_key=True))

call = Table(
    "call",
    metadata,
    Column("id", Text, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("direction", Text, nullable=False),
    Column("caller", Text),
    Column("callee", Text),
    Column("model", Text, nullable=False),
    Column("codec", Text),
    Column("reason", Text),
    Column("detail", Text),
    Column("fault", Text),
    Column("turns", Integer, nullable=False),
    Column("interruptions", Integer, nullable=False),
    Column("cost_usd", Double),
    Column("tokens", Text),
    Column("stats", Text),
    Column("marks", Text),
    Column("mos_in", Double),
    Column("mos_out", Double),
    Column("trace_id", Text),
    Column("summary", Text),
    Column("recording_state", Text, nullable=False),
    Column("recording_key", Text),
    Column("recording_ms", BigInteger),
    Column("recording_bytes", BigInteger),
    Column("recording_lost_ms", BigInteger, nullable=False),
)
Index("call_newest", call.c.started_ms, call.c.id)
for _filtered in ("reason", "fault", "caller", "callee"):
    Index(f"call_by_{_filtered}", call.c[_filtered], call.c.started_ms, call.c.id)
# Partial: nearly all calls are ended, so an index over all states would only mislead the planner.
_unfinished = call.c.state != "ended"
Index("call_unfinished", call.c.started_ms, call.c.id, sqlite_where=_unfinished, postgresql_where=_unfinished)

TURNS_PER_MS = 1 << 16
"""A turn's id is its call's start in Unix milliseconds times this, plus a counter. So turns are ordered by call,
and a time range is a range of ids, in the full-text index too."""

turn = Table(
    "turn",
    metadata,
    Column("id", BigInteger().with_variant(Integer, SQLITE), primary_key=True, autoincrement=False),
    Column("call_id", ForeignKey("call.id", ondelete="CASCADE"), nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("speaker", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("unheard", Text, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("typed", Boolean, nullable=False),
    Column("response_ms", BigInteger),
    Column("words", Text, nullable=False),  # the words of `text`, see `signaling.history.search.words_of`
    UniqueConstraint("call_id", "turn_id"),
)

tool = Table(
    "tool",
    metadata,
    Column("call_id", ForeignKey("call.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("arguments", Text),
    Column("result", Text),
    PrimaryKeyConstraint("call_id", "key"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", ForeignKey("call.id", ondelete="CASCADE"), nullable=False),
    Column("type", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("holder", Text),  # the worker that is sending it, until `due_ms`
    Column("done_ms", BigInteger),
    Column("error", Text),  # the error of the latest attempt
    Index("outbox_of_call", "call_id"),
)
Index(
    "outbox_due",
    outbox.c.due_ms,
    sqlite_where=outbox.c.done_ms.is_(None),
    postgresql_where=outbox.c.done_ms.is_(None),
)

erased = Table(
    "erased",  # so that late items of an erased call do not bring it back
    metadata,
    Column("id", Text, primary_key=True),
    Column("erased_ms", BigInteger, nullable=False),
)

WORDS_INDEX = "turn_words"

_FULL_TEXT = {
    SQLITE: (
        "CREATE VIRTUAL TABLE turn_words USING fts5("
        "words, content='turn', content_rowid='id', tokenize='unicode61 remove_diacritics 0')",
        "CREATE TRIGGER turn_added AFTER INSERT ON turn BEGIN "
        "INSERT INTO turn_words(rowid, words) VALUES (new.id, new.words); END",
        "CREATE TRIGGER turn_erased AFTER DELETE ON turn BEGIN "
        "INSERT INTO turn_words(turn_words, rowid, words) VALUES ('delete', old.id, old.words); END",
    ),
    POSTGRESQL: (
        "ALTER TABLE turn ADD COLUMN lexemes tsvector GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED",
        "CREATE INDEX turn_words ON turn USING gin (lexemes)",
    ),
}
for _dialect, _statements in _FULL_TEXT.items():
    for _statement in _statements:
        event.listen(turn, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]
