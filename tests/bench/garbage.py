"""``python -m tests.bench.garbage``: for how long a full garbage collection stops the loop while calls are up.

The service holds the same calls twice: once it handles the collector itself, once Python's defaults apply. Callers
talk for some seconds, so that what a call keeps of speech is there, and listen while full collections are forced,
one a second. Those that came by themselves are counted from the first call on. Quote the figures of one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from signaling.process.garbage import patience
from tests.bench.live_server import running_live_server
from tests.bench.load import loading
from tests.bench.service import Service, environment, running_process

HANDLING = {"service": "talkspurt", "python": "Python's defaults"}
TALK_S = 5.0
COLLECT_TIMEOUT_S = 20.0

console = Console()


@dataclass(frozen=True, slots=True)
class Note:
    """What the service wrote of itself.

    Attributes:
        at: monotonic seconds.
        collection_ms: processor time of a full collection, during which nothing else runs; 0 if this is none.
        lag_ms: the loop's longest lag in the last quarter of a second; 0 if this is a collection.
    """

    at: float
    collection_ms: float = 0.0
    lag_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What collections did to calls.

    Attributes:
        forced_ms: processor time of each forced collection.
        lag_ms: the loop's longest lag while they were forced.
        quiet_lag_ms: the same in a time of equal length without any.
        unasked_ms: processor time of each full collection that came by itself, from the first call on.
    """

    forced_ms: list[float]
    lag_ms: float
    quiet_lag_ms: float
    unasked_ms: list[float]


async def measure(how: str, calls: int, collections: int) -> Figures:
    """Hold calls, and force collections."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        command = (sys.executable, "-m", "tests.bench.collected", str(notes), how, "serve", "--port", "0")
        async with (
            running_live_server(Path(folder), listens=False) as live,
            running_process(command, environment(live, calls + 5)) as (url, pid),
            aiohttp.ClientSession() as http,
        ):
            began = monotonic()
            async with loading(Service("talkspurt", url, pid, 0, http), live, calls=calls) as load:
                talking = asyncio.create_task(load.talk())
                await asyncio.sleep(TALK_S)
                talking.cancel()
                quiet = monotonic()
                await asyncio.sleep(collections)
                forcing = monotonic()
                for _ in range(collections):
                    await _force(pid, notes)
                    await asyncio.sleep(1.0)
                ended = monotonic()
        found = _read(notes)
    return Figures(
        forced_ms=[note.collection_ms for note in _between(found, forcing, ended) if note.collection_ms],
        lag_ms=max((note.lag_ms for note in _between(found, forcing, ended)), default=0.0),
        quiet_lag_ms=max((note.lag_ms for note in _between(found, quiet, forcing)), default=0.0),
        unasked_ms=[note.collection_ms for note in _between(found, began, forcing) if note.collection_ms],
    )


async def _force(pid: int, notes: Path) -> None:
    """Have the service collect, and wait until it has."""
    before = _collections(notes)
    os.kill(pid, signal.SIGUSR1)
    async with asyncio.timeout(COLLECT_TIMEOUT_S):
        while _collections(notes) == before:  # noqa: ASYNC110  it is another process that does it
            await asyncio.sleep(0.02)


def _collections(notes: Path) -> int:
    return sum(note.collection_ms > 0 for note in _read(notes))


def _read(notes: Path) -> list[Note]:
    """Read what has been written, without a line that is not complete yet."""
    lines = notes.read_text().splitlines(keepends=True)
    return [Note(**json.loads(line)) for line in lines if line.endswith("\n")]


def _between(notes: Iterable[Note], since: float, until: float) -> list[Note]:
    return [note for note in notes if since <= note.at < until]


def run(
    calls: Annotated[int, typer.Option(min=1, max=200, help="Calls at once.")] = 60,
    collections: Annotated[int, typer.Option(min=1, max=60, help="How many to force.")] = 8,
) -> None:
    """Measure full collections while calls are up."""
    found = {title: asyncio.run(measure(how, calls, collections)) for how, title in HANDLING.items()}
    table = Table("ms", *found, title=f"{calls} calls, load {os.getloadavg()[0]:.1f}")
    each = found.values()
    table.add_row("full collection: median", *(f"{median(f.forced_ms):.1f}" for f in each))
    table.add_row("full collection: longest", *(f"{max(f.forced_ms):.1f}" for f in each))
    table.add_row("longest lag of the loop meanwhile", *(f"{f.lag_ms:.1f}" for f in each))
    table.add_row("longest lag without a collection", *(f"{f.quiet_lag_ms:.1f}" for f in each))
    table.add_row("full collections that came unasked", *(f"{len(f.unasked_ms)}" for f in each))
    table.add_row("the longest of these", *(f"{max(f.unasked_ms, default=0):.1f}" for f in each))
    console.print(table)
    console.print(
        f"In the middle of {calls} calls, talkspurt's own comes once {patience(calls)} calls have ended meanwhile.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    typer.run(run)
