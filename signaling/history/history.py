"""The history of calls: records what happens in them without making them wait, and answers queries about it.

A call's observer reports events by plain method calls (`started`, `turn`, ...) on the loop's thread. The items wait
in a bounded queue. One task writes them in batches, and retries while the database is down or slow, so calls never
notice. Items that do not fit are dropped and counted: turns and tool calls first, because starts and ends may use
twice the room.

Tasks: those of `open_history`; they end with its block.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, TypeVar

from asyncpg import CannotConnectNowError, TooManyConnectionsError

from agent.clock import Clock, unix
from agent.errors import ConfigError
from agent.isolate import isolated_async
from agent.redact import without_secrets
from signaling.history import read, store
from signaling.history.complaints import Complaints
from signaling.history.database import FAILURES, Database
from signaling.history.deliver import Deliverer, Endpoint
from signaling.history.objects import Objects, StoreError
from signaling.history.outbox import ended_message, recording_message, started_message, summary_message
from signaling.history.read import EVERY, Filters, Found
from signaling.history.record import CallEnd, CallStart, Recording, Summary, ToolUse, Turn
from signaling.history.retention import keep_days
from signaling.history.schema import SQLITE
from signaling.history.store import Item

logger = logging.getLogger(__name__)

MAX_WAITING = 20_000  # items: an hour of 100 calls
MAX_WAITING_CHARS = 32 << 20  # total length of the texts in them
BATCH = 100  # items per transaction, which takes some 5 ms
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 15.0  # pauses between tries
WRITE_TIMEOUT_S = 60.0
READ_TIMEOUT_S = 10.0
LAST_WRITES_S = 5.0
START_TIMEOUT_S = 10.0
FAILED_PAUSE_S = 1.0
REFUSALS = 3  # an item is left out after being refused this often by a database that accepts others
UNREACHABLE = (OSError, CannotConnectNowError, TooManyConnectionsError)

T = TypeVar("T")


class History:
    """The history of calls; see `open_history`.

    Args:
        database: holds the history.
        worker: the name of this process, which it keeps across restarts; no other running process has it.
        objects: holds the recordings; None if there are none.
        announces: True if other services are told of calls.
        clock: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        *,
        objects: Objects | None = None,
        announces: bool = False,
        clock: Clock = unix,
    ) -> None:
        self.counts: Counter[str] = Counter()
        "Items ``written``, ``dropped`` for lack of room, and ``refused`` by the database; ``failures`` to write."
        self.objects = objects
        self.deliverer: Deliverer | None = None
        "Sends messages about calls to other services; None if they are told nothing."
        self.announced = asyncio.Event()
        "Set when a message for other services has been written."
        self._database = database
        self._worker = worker
        self._announces = announces
        self._clock = clock
        self._waiting: deque[Item] = deque()
        self._waiting_chars = 0
        self._something = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._ready = asyncio.Event()
        self._complaints = Complaints(logger)
        self._overflow = Complaints(logger)

    @property
    def waiting(self) -> int:
        """The number of items not written yet."""
        return len(self._waiting)

    def started(self, call: CallStart) -> None:
        """Note that a call has begun."""
        message = started_message(_message_id(), call) if self._announces else None
        self._put(Item(call, call, message), room=2)

    def turn(self, call: CallStart, turn: Turn) -> None:
        """Note a final turn."""
        self._put(Item(call, turn), room=1)

    def tool(self, call: CallStart, use: ToolUse) -> None:
        """Note a finished tool call."""
        self._put(Item(call, use), room=1)

    def ended(self, call: CallStart, end: CallEnd) -> None:
        """Note that a call is over."""
        message = ended_message(_message_id(), call, end, self._now_ms()) if self._announces else None
        self._put(Item(call, end, message), room=2)

    def recording(self, call: CallStart, recording: Recording) -> None:
        """Note the state of a call's recording."""
        message = None
        if self._announces and recording.state == "stored":
            message = recording_message(_message_id(), call, recording, self._now_ms())
        self._put(Item(call, recording, message), room=2)

    def summary(self, call: CallStart, summary: Summary) -> None:
        """Note the summary of an ended call."""
        message = summary_message(_message_id(), call, summary, self._now_ms()) if self._announces else None
        self._put(Item(call, summary, message), room=2)

    async def page(
        self, before: tuple[int, str] | None = None, filters: Filters = EVERY, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Return calls, newest first; see `signaling.history.read.page`."""
        return await self._read(read.page(self._database, before, filters, limit))

    async def search(
        self, words: str, before: int | None = None, filters: Filters = EVERY, limit: int = 50
    ) -> Found:
        """Find turns with these words, newest first; see `signaling.history.read.search`."""
        return await self._read(read.search(self._database, words, before, filters, limit))

    async def one(self, call_id: str) -> dict[str, Any] | None:
        """Return everything kept about a call; None if there is no such call."""
        return await self._read(read.one(self._database, call_id))

    async def recording_of(self, call_id: str) -> tuple[str, str | None] | None:
        """Return the state and the key of a call's recording; None if there is no such call."""
        return await self._read(read.recording_of(self._database, call_id))

    async def erase(self, call_id: str) -> bool | None:
        """Delete everything kept about a call, its recording first; later items about it are refused.

        Returns:
            True if the database's files no longer hold anything of it; False if that takes longer and is tried
            again within the hour; None if there is no such call.

        Raises:
            StoreError: the recording could not be deleted, so nothing else was deleted either.
        """
        found = await self.recording_of(call_id)
        if found is not None and found[1] is not None and self.objects is not None:
            await self.objects.delete(found[1])
        erased = await store.erase(self._database, [call_id], self._now_ms(), remember=found is not None)
        if not erased:
            return None
        try:
            await self._database.scrub()
        except FAILURES as error:
            self._complaints.tell("history: a call was erased, but may still be in the file", error)
            return False
        return True

    async def written(self) -> None:
        """Wait until every item noted so far has been written or given up."""
        await self._empty.wait()

    async def ready(self) -> None:
        """Wait until the tables exist and the calls of a crashed process have been closed."""
        await self._ready.wait()

    async def prepare(self) -> None:
        """Create the tables, and close the calls that an earlier process of this worker left running.

        Raises:
            ConfigError: the database cannot be used.
        """
        await self._database.prepare()
        new_id = _message_id if self._announces else None
        crashed = await store.note_crashes(self._database, self._worker, self._now_ms(), new_id)
        if crashed:
            logger.warning("history: %d calls were running when the service last ended", crashed)
        self._ready.set()

    async def write(self) -> None:
        """Write the noted items once the database is ready, until cancelled."""
        pause_s, most, refusals = FIRST_PAUSE_S, BATCH, 0
        while True:
            if not self._waiting:
                self._empty.set()
                self._something.clear()
                await self._something.wait()
            batch = list(islice(self._waiting, most))
            try:
                if not self._ready.is_set():
                    await self.prepare()
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    orphans = await store.write(self._database, self._worker, batch)
            except (*FAILURES, ConfigError) as error:
                self.counts["failures"] += 1
                self._complaints.tell(f"history: not written, {self.waiting} items wait", error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
                blamed = len(batch) == 1 and self._ready.is_set() and await self._database.can_write()
                refusals = refusals + 1 if blamed else 0
                most = max(1, len(batch) // 2)  # one of them may be to blame
                if refusals == REFUSALS:
                    self._take(1, "refused")
                    refusals = 0
                continue
            self._take(len(batch), "written")
            pause_s, most, refusals = FIRST_PAUSE_S, min(most * 2, BATCH), 0
            if any(item.message is not None for item in batch):
                self.announced.set()
            await self._delete_orphans(orphans)

    def _put(self, item: Item, room: int) -> None:
        chars = _chars(item)
        if len(self._waiting) >= MAX_WAITING * room or self._waiting_chars + chars > MAX_WAITING_CHARS * room:
            self.counts["dropped"] += 1
            self._overflow.tell("history: there is no room for what happens in calls", "the database is too slow")
            return
        self._waiting.append(item)
        self._waiting_chars += chars
        self._empty.clear()
        self._something.set()

    def _take(self, count: int, outcome: str) -> None:
        for _ in range(count):
            self._waiting_chars -= _chars(self._waiting.popleft())
        self.counts[outcome] += count

    async def _delete_orphans(self, keys: list[str]) -> None:
        """Delete recordings that were stored after their call had been erased."""
        for key in keys:
            try:
                if self.objects is not None:
                    await self.objects.delete(key)
            except StoreError as error:
                self._complaints.tell("history: the recording of an erased call could not be deleted", error)

    async def _read(self, asked: Awaitable[T]) -> T:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await asked

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)


@asynccontextmanager
async def open_history(
    url: str,
    *,
    worker: str = "main",
    record_store: str | None = None,
    retention_days: float | None = None,
    endpoint: Endpoint | None = None,
    clock: Clock = unix,
) -> AsyncIterator[History]:
    """Keep what happens in calls until the end of the block; the last items get `LAST_WRITES_S` to be written.

    A PostgreSQL that is down does not keep the service from starting: connecting is retried until it succeeds.

    Args:
        url: see `Database`.
        worker: see `History`.
        record_store: see `Objects`; None if there are no recordings.
        retention_days: how long calls are kept; None keeps them for ever.
        endpoint: the receiver of messages about calls; None if there is none.
        clock: Unix seconds.

    Raises:
        ConfigError: the database or the store cannot be used.
    """
    database = Database(url)
    objects = None if record_store is None else Objects(record_store)
    history = History(database, worker, objects=objects, announces=endpoint is not None, clock=clock)
    tasks: list[asyncio.Task[None]] = []
    try:
        await _first_try(history, database)
        work = {"writing": history.write, "retention": lambda: keep_days(database, objects, retention_days, clock)}
        if endpoint is not None:
            deliverer = Deliverer(database, worker, endpoint, history.announced, clock)
            history.deliverer, work["webhooks"] = deliverer, deliverer.run
        for name, begin in work.items():
            tasks.append(asyncio.create_task(_keep_doing(history, name, begin), name=f"history-{name}"))
        try:
            yield history
        finally:
            await _last_writes(history)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()
        if objects is not None:
            objects.close()


@asynccontextmanager
async def look_at(url: str, record_store: str | None = None) -> AsyncIterator[History]:
    """Open a history that another process may be writing; no tables are created, and no calls are closed.

    Args:
        url: see `Database`.
        record_store: see `Objects`; None if there are no recordings.

    Raises:
        ConfigError: the database or the store cannot be used.
    """
    database = Database(url)
    objects = None
    try:
        await database.check()
        objects = None if record_store is None else Objects(record_store)
        yield History(database, "looking", objects=objects)
    except FAILURES as error:
        raise ConfigError(f"history_url {database.shown} cannot be used: {type(error).__name__}") from None
    finally:
        await database.close()
        if objects is not None:
            objects.close()


async def try_out(url: str) -> str:
    """Connect to a database, create nothing, and return what was found there.

    Args:
        url: see `Database`.

    Raises:
        ConfigError: the service could not use it.
    """
    database = Database(url)
    try:
        found = await database.version()
    except FAILURES as error:
        raise ConfigError(f"history_url {database.shown} cannot be used: {type(error).__name__}") from None
    finally:
        await database.close()
    if found is None:
        return f"{database.shown} has no tables yet; the service makes them when it starts"
    return f"{database.shown} can be reached, and its tables are there"


async def _first_try(history: History, database: Database) -> None:
    """Create the tables now, so that the operator learns at start-up what needs fixing."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await history.prepare()
    except UNREACHABLE as error:
        if database.dialect == SQLITE:
            raise ConfigError(f"history_url {database.shown} cannot be used: {error}") from None
        logger.warning(
            "history: %s cannot be reached (%s); it is tried again", database.shown, type(error).__name__
        )
    except FAILURES as error:
        why = without_secrets(str(getattr(error, "orig", None) or error), database.url)
        raise ConfigError(f"history_url {database.shown} cannot be used: {why}") from None


async def _keep_doing(history: History, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run a background task of the history; an unexpected error is logged, and the task starts again."""
    if name != "writing":  # writing creates the tables itself if they are missing
        await history.ready()
    while not await isolated_async(f"history: {name}", work):  # noqa: ASYNC110
        await asyncio.sleep(FAILED_PAUSE_S)


async def _last_writes(history: History) -> None:
    try:
        await asyncio.wait_for(history.written(), LAST_WRITES_S)
    except TimeoutError:
        logger.error(  # noqa: TRY400
            "history: %d items were not written before the end", history.waiting
        )


def _message_id() -> str:
    return f"msg_{secrets.token_urlsafe(18)}"


def _chars(item: Item) -> int:
    """Return the number of characters of text in an item."""
    match item.fact:
        case Turn() as turn:
            return len(turn.text) + len(turn.unheard)
        case ToolUse() as use:
            return sum(len(each) for each in (use.arguments, use.result) if isinstance(each, str | bytes))
    return 0
