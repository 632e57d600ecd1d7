"""One database, an SQLite file or PostgreSQL, with one engine for writing and one for reading.

SQLite allows one writer at a time, so there is a single connection for writing: writers wait for it and never see
"database is locked". Deleted data is overwritten (``secure_delete``), and `Database.scrub` removes the copies that
the full-text index and the write-ahead log still hold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import URL, Connection, event, func, insert, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agent.errors import ConfigError
from agent.redact import shown_url
from signaling.history import schema
from signaling.history.schema import POSTGRESQL, SQLITE, WORDS_INDEX

FAILURES = (SQLAlchemyError, PostgresError, InterfaceError, OSError, ValueError, TypeError, ArithmeticError)
"The errors that a database and its driver raise, including those for values that they cannot store."

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
CONNECT_TIMEOUT_S = 5.0
BUSY_TIMEOUT_MS = 10_000  # how long to wait while another process writes to the same file
WAIT_TO_WRITE_S = 60.0  # how long to wait for the writing connection, which an erasure may hold
ANALYSED_ROWS = 1000  # rows that ANALYZE samples from each index
MERGED_PAGES = 200  # full-text index pages merged per step, which blocks other writers for some 50 ms
CHECKPOINT_TRIES = 100
CHECKPOINT_PAUSE_S = 0.1
SWITCH_TRIES = 100
SWITCH_PAUSE_S = 0.02

_SCHEMA_LOCK = 0x7461_6C6B  # a PostgreSQL advisory lock: workers that start together create the tables once
_BARE = "without_transaction"

_READING = ("PRAGMA query_only = ON",)
_WRITING = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # must come before the next line to have any effect
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # survives kill -9; a power cut may take the last transactions
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
)


class Database:
    """A database of this service; it connects on first use.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user:password@host/name``.

    Raises:
        ConfigError: the URL does not name such a database.
    """

    def __init__(self, url: str) -> None:
        self._url = read_url(url)
        self.dialect = self._url.get_backend_name()
        self.url = url
        self.shown = shown_url(url)
        "The URL without its secrets, for messages."
        self.insert = sqlite.insert if self.dialect == SQLITE else postgresql.insert
        "Makes an INSERT statement for the dialect."
        self._writing = self._engine(writes=True)
        self._reading = self._engine(writes=False)
        self._scrubs_wanted = 0
        self._scrubs_done = 0
        self._scrubbing = asyncio.Lock()

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a transaction that writes; it is committed at the end of the block."""
        return self._writing.begin()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that only reads."""
        async with self._reading.connect() as connection:
            yield connection

    async def prepare(self) -> None:
        """Create the tables unless they exist.

        Raises:
            ConfigError: the tables have another version, or the file cannot be written.
        """
        if self.dialect == SQLITE:
            self._make_file()
            await self._switch_to_wal()
        async with self.write() as connection:
            if self.dialect == POSTGRESQL:
                await connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            await connection.run_sync(schema.metadata.create_all)
            found = await connection.scalar(select(schema.version.c.version))
            if found is None:
                await connection.execute(insert(schema.version).values(version=schema.VERSION))
            elif found != schema.VERSION:
                raise ConfigError(self._foreign(found))

    async def check(self) -> None:
        """Check that the tables exist, without creating any.

        Raises:
            ConfigError: they do not exist, or have another version.
        """
        path = self._url.database
        if self.dialect == SQLITE and not os.path.isfile(str(path)):  # noqa: ASYNC240, PTH113  else it would be made
            raise ConfigError(
                f"history_url {self.shown}: there is no such file; the service makes it when it starts"
            )
        async with self.read() as connection:
            found = await connection.scalar(select(schema.version.c.version))
        if found != schema.VERSION:
            raise ConfigError(self._foreign(found))

    async def version(self) -> int | None:
        """Return the version of the tables, creating none; None if there are none.

        Raises:
            ConfigError: the tables have another version than this talkspurt, or an SQLite file cannot be written.
        """
        if self.dialect == SQLITE and not self._has_file():
            return None
        async with self.read() as connection:
            if not await connection.run_sync(lambda sync: inspect(sync).has_table(schema.version.name)):
                return None
            found = await connection.scalar(select(schema.version.c.version))
        if found is not None and found != schema.VERSION:
            raise ConfigError(self._foreign(found))
        return found

    async def can_write(self) -> bool:
        """Return whether the database accepts any write at all."""
        try:
            async with self.write() as connection:
                await connection.execute(schema.version.update().values(version=schema.VERSION))
        except FAILURES:
            return False
        return True

    @property
    def must_scrub(self) -> bool:
        """True if a call of `scrub` has failed since the last one that succeeded."""
        return self._scrubs_wanted > self._scrubs_done and not self._scrubbing.locked()

    async def scrub(self, *, rewrite: bool = True) -> None:
        """Remove from the files what was deleted before now; concurrent calls share one pass.

        With SQLite, the full-text index, which keeps deleted words until it is merged, is merged in small steps,
        and the write-ahead log is emptied. With PostgreSQL, the tables are rewritten.

        Args:
            rewrite: for PostgreSQL, rewrite the tables, which locks them meanwhile; otherwise PostgreSQL reuses
                the space in its own time.

        Raises:
            TimeoutError: readers kept the log from being emptied.
        """
        self._scrubs_wanted += 1
        mine = self._scrubs_wanted
        async with self._scrubbing:
            if self._scrubs_done >= mine:
                return
            covered = self._scrubs_wanted
            if self.dialect == SQLITE:
                await self._scrub_sqlite()
            elif rewrite:
                await self._rewrite_postgresql()
            self._scrubs_done = covered

    async def tune(self) -> None:
        """Have SQLite sample its tables so that it can choose indexes; PostgreSQL does so by itself."""
        if self.dialect == SQLITE:
            async with self.write() as connection:
                await connection.exec_driver_sql(f"PRAGMA analysis_limit = {ANALYSED_ROWS}")
                await connection.exec_driver_sql("ANALYZE call")

    async def close(self) -> None:
        """Close all connections."""
        await self._reading.dispose()
        await self._writing.dispose()

    async def _scrub_sqlite(self) -> None:
        merge = f"INSERT INTO {WORDS_INDEX}({WORDS_INDEX}, rank) VALUES ('merge', {{}})"  # noqa: S608
        async with self.write() as connection:
            await connection.exec_driver_sql(merge.format(-MERGED_PAGES))  # negative: begin to merge everything
        changed = 2
        while changed >= 2:  # see section 6.8 of SQLite's FTS5 documentation
            async with self.write() as connection:
                before = await _total_changes(connection)
                await connection.exec_driver_sql(merge.format(MERGED_PAGES))
                changed = await _total_changes(connection) - before
        async with self._bare() as connection:
            await connection.exec_driver_sql("PRAGMA incremental_vacuum")
            for _ in range(CHECKPOINT_TRIES):
                busy = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).scalar_one()
                if not busy:
                    return
                await asyncio.sleep(CHECKPOINT_PAUSE_S)
        raise TimeoutError("the write-ahead log is still being read")

    async def _rewrite_postgresql(self) -> None:
        async with self._bare() as connection:
            for table in (schema.turn, schema.tool, schema.call, schema.outbox):
                await connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")

    async def _switch_to_wal(self) -> None:
        """Open the writing connection, which switches a new file to WAL.

        SQLite calls no busy handler for that switch: of processes that start together it refuses all but one.
        """
        for tries_left in reversed(range(SWITCH_TRIES)):
            try:
                async with self._bare():
                    return
            except OperationalError as error:
                if not tries_left or getattr(error.orig, "sqlite_errorname", "") != "SQLITE_BUSY":
                    raise
            await asyncio.sleep(SWITCH_PAUSE_S)

    def _foreign(self, found: object) -> str:
        return (
            f"history_url {self.shown}: its tables are of version {found}, and this talkspurt knows version "
            f"{schema.VERSION}: run the talkspurt that made them, or name another database"
        )

    @asynccontextmanager
    async def _bare(self) -> AsyncIterator[AsyncConnection]:
        """Yield the writing connection, without a transaction."""
        option: dict[str, Any] = {_BARE: True} if self.dialect == SQLITE else {"isolation_level": "AUTOCOMMIT"}
        async with self._writing.connect() as connection:
            yield await connection.execution_options(**option)

    def _engine(self, *, writes: bool) -> AsyncEngine:
        if self.dialect == POSTGRESQL:
            return create_async_engine(
                self._url,
                pool_size=2 if writes else 4,
                pool_pre_ping=not writes,  # writers retry anyway
                connect_args={
                    "timeout": CONNECT_TIMEOUT_S,
                    # A generic plan, made without the words, takes rare ones for common and scans every turn.
                    "server_settings": {"application_name": "talkspurt", "plan_cache_mode": "force_custom_plan"},
                },
            )
        engine = create_async_engine(
            self._url, pool_size=1 if writes else 4, max_overflow=0, pool_timeout=WAIT_TO_WRITE_S
        )
        pragmas = (f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}", *(_WRITING if writes else _READING))
        begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

        @event.listens_for(engine.sync_engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # `begin_transaction` begins them
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def begin_transaction(connection: Connection) -> None:
            if not connection.get_execution_options().get(_BARE):
                connection.exec_driver_sql(begin)

        return engine

    def _has_file(self) -> bool:
        """Return whether the file exists; it, or the folder in which it would be made, must be writable."""
        path = Path(str(self._url.database)).absolute()
        target = path if path.exists() else path.parent
        if not os.access(target, os.W_OK):
            raise ConfigError(f"history_url {self.shown}: {target} is not there, or cannot be written")
        return target == path

    def _make_file(self) -> None:
        """Create the file, readable by the service's user only."""
        path = str(self._url.database)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ConfigError(f"history_url: {path} cannot be written: {error.strerror}") from None


def read_url(url: str) -> URL:
    """Return the URL with the driver to use.

    Raises:
        ConfigError: it does not name a supported database.
    """
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("history_url: this is no URL: write sqlite:///FILE or postgresql://...") from None
    driver = DRIVERS.get(read.drivername)
    if driver is None:
        raise ConfigError(
            f"history_url: {read.drivername} cannot be used: write sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    if read.get_backend_name() == SQLITE and read.database in (None, "", ":memory:"):
        raise ConfigError("history_url: name a file, such as sqlite:///history.db; memory keeps nothing")
    if "sslmode" in read.query:  # libpq's name for it
        mode = read.query["sslmode"]
        read = read.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return read.set(drivername=driver)


async def _total_changes(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT total_changes()"))).scalar_one())
