"""``python -m tests.bench.history``: how fast the history is with 10^5 calls, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from signaling.history import retention, store
from signaling.history.database import Database
from signaling.history.history import History, open_history
from signaling.history.read import Filters
from signaling.history.store import Item
from tests.support import postgres
from tests.support.history import BEGAN_MS, MINUTE_MS, call, end, said

TURNS = 10  # of a call
WORDS_OF_A_TURN = 12
VOCABULARY = 20_000
PAGE_MS, SEARCH_MS = 5.0, 50.0  # to be reached by the median; the 95th percentile shows what else the machine does
REPEATS = 40
BATCH = 200

console = Console()


def run(
    calls: Annotated[int, typer.Option(min=100, help="How many calls are kept.")] = 100_000,
    database: Annotated[str, typer.Option(help="sqlite, postgresql or both.")] = "both",
    seed: Annotated[int, typer.Option(help="Of what was said.")] = 1,
) -> None:
    """Fill a database of its own and measure; ends with 1 if a page or a search is slower than it should be."""
    kinds = ["sqlite", "postgresql"] if database == "both" else [database]
    results: dict[str, dict[str, list[float]]] = {}
    for kind in kinds:
        with made(kind) as url:
            results[kind] = asyncio.run(measure(kind, url, calls, random.Random(seed)))
    console.print(shown(results, calls))
    slow = [
        f"{kind}: {name}" for kind, rows in results.items() for name, times in rows.items() if too_slow(name, times)
    ]
    for each in slow:
        console.print(f"[red]too slow: {each}")
    raise typer.Exit(1 if slow else 0)


@contextmanager
def made(kind: str) -> Iterator[str]:
    """Make an empty database; yields its URL."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'calls.db'}"
    else:
        with postgres.running_postgres() as server:
            yield server.empty_database()


async def measure(kind: str, url: str, calls: int, chance: random.Random) -> dict[str, list[float]]:
    vocabulary = [word(chance) for _ in range(VOCABULARY)]
    weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))  # as words are in a language (Zipf)
    async with open_history(url) as history:
        database = Database(url)
        began = time.perf_counter()
        await fill(database, calls, chance, vocabulary, weights)
        console.print(f"{kind}: {calls} calls of {TURNS} turns in {time.perf_counter() - began:.0f} s")
        await database.tune()  # as it is done every hour
        if kind == "postgresql":
            async with database.write() as connection:
                await connection.exec_driver_sql("ANALYZE")  # as autovacuum does in time
        times = {name: await repeat(ask) for name, ask in questions(history, calls, vocabulary).items()}
        times["note a call of 10 turns (nobody waits)"] = await noting(history, calls)
        erasing = [partial(history.erase, f"rtc_{number:06}") for number in (calls // 3, calls // 2)]
        times["erase a call, out of the files"] = [await timed(each) for each in erasing]
        before_ms = BEGAN_MS + calls // 20 * MINUTE_MS
        times[f"delete {calls // 20} old calls"] = [
            await timed(lambda: retention.delete_older(database, None, before_ms, before_ms))
        ]
        await database.close()
    return times


async def fill(
    database: Database, calls: int, chance: random.Random, vocabulary: list[str], weights: list[float]
) -> None:
    for first in range(0, calls, BATCH):
        items = []
        for number in range(first, min(first + BATCH, calls)):
            reason = chance.choices(["hung_up", "caller_left", "ice_lost"], [80, 19, 1])[0]
            of = call(number, caller=f"+4930{chance.randrange(calls // 5)}")
            items += [
                Item(
                    of,
                    said(
                        " ".join(chance.choices(vocabulary, cum_weights=weights, k=WORDS_OF_A_TURN)), f"turn-{turn}"
                    ),
                )
                for turn in range(TURNS)
            ]
            items.append(Item(of, end(of, reason=reason, turns=TURNS)))
        await store.write(database, "main", items)


def questions(history: History, calls: int, vocabulary: list[str]) -> dict[str, Callable[[], Awaitable[Any]]]:
    middle = (BEGAN_MS + calls // 2 * MINUTE_MS, "rtc_x")
    found: dict[str, Callable[[], Awaitable[Any]]] = {
        "page: newest 50": history.page,
        "page: 50 in the middle": lambda: history.page(middle),
        "page: of a rare reason": lambda: history.page(filters=Filters(reason="ice_lost")),
        "page: of one caller, ended, of a common reason": lambda: history.page(
            filters=Filters(caller="+49307", state="ended", reason="hung_up")
        ),
        "page: of one caller": lambda: history.page(filters=Filters(caller="+49307")),
        "page: of one day": lambda: history.page(
            filters=Filters(since_ms=middle[0], until_ms=middle[0] + 86_400_000, state="ended")
        ),
        "page: nothing fits": lambda: history.page(filters=Filters(reason="nothing")),
        "one call": lambda: history.one(f"rtc_{calls // 2:06}"),
    }
    for name, query in (
        ("the commonest word", vocabulary[0]),
        ("a common word", vocabulary[20]),
        ("a usual word", vocabulary[500]),
        ("a rare word", vocabulary[-1]),
        ("a word nobody said", "nowhere"),
        ("two common words", f"{vocabulary[0]} {vocabulary[1]}"),
        ("a common and a rare word", f"{vocabulary[0]} {vocabulary[-1]}"),
        ("a phrase", f'"{vocabulary[0]} {vocabulary[1]}"'),
    ):
        found[f"search: {name}"] = partial(history.search, query)
    rare, one_day = Filters(reason="ice_lost"), Filters(since_ms=middle[0], until_ms=middle[0] + 86_400_000)
    found["search: a common word, of a rare reason"] = lambda: history.search(vocabulary[0], filters=rare)
    found["search: a usual word, of a rare reason"] = lambda: history.search(vocabulary[500], filters=rare)
    found["search: a common word, of one day"] = lambda: history.search(vocabulary[0], filters=one_day)
    found["search: a common word, of one caller"] = lambda: history.search(
        vocabulary[0], filters=Filters(caller="+49307")
    )
    return found


async def repeat(ask: Callable[[], Awaitable[Any]]) -> list[float]:
    await ask()
    return [await timed(ask) for _ in range(REPEATS)]


async def timed(ask: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await ask()
    return (time.perf_counter() - began) * 1000


async def noting(history: History, calls: int) -> list[float]:
    """Measure what a call pays: the plain calls by which it is noted."""
    times = []
    for number in range(REPEATS):
        of = call(calls + number)
        began = time.perf_counter()
        history.started(of)
        for turn in range(TURNS):
            history.turn(of, said("some words that were said", f"turn-{turn}"))
        history.ended(of, end(of))
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0)
    await history.written()
    return times


def word(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnoprstuvw", k=chance.randint(3, 10)))


def p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1] if len(times) > 1 else times[0]


def too_slow(name: str, times: list[float]) -> bool:
    limit = {"page": PAGE_MS, "search": SEARCH_MS}.get(name.partition(":")[0])
    return limit is not None and median(times) > limit


def shown(results: dict[str, dict[str, list[float]]], calls: int) -> Table:
    table = Table("ms, p50 / p95", *results, title=f"{calls} calls, load {os.getloadavg()[0]:.1f}")
    for name in next(iter(results.values())):
        cells = [f"{median(rows[name]):.2f} / {p95(rows[name]):.2f}" for rows in results.values()]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    typer.run(run)
