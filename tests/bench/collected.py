"""Become the service and watch its collector: ``python -m tests.bench.collected NOTES HOW serve ...``.

Each full collection, and every quarter of a second the event loop's longest lag, is a line of JSON in NOTES.
SIGUSR1 starts a full collection at once. If HOW is ``python``, the service is kept from handling the collector, so
that Python's defaults apply.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, thread_time
from typing import Any, TextIO

from signaling import app
from signaling.command.cli import main

FULL = 2  # the oldest generation
LAG_STEP_S = 0.002
REPORT_S = 0.25


class Notes:
    """Writes what the collector does."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._began_cpu_s = 0.0

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """Note a full collection; one of `gc.callbacks`."""
        if phase == "start":
            self._began_cpu_s = thread_time()
        elif info["generation"] == FULL:
            self._note(collection_ms=1e3 * (thread_time() - self._began_cpu_s))

    async def watch_loop(self) -> None:
        """Note the event loop's lag, until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, gc.collect)
        while True:
            worst_s, until = 0.0, loop.time() + REPORT_S
            while loop.time() < until:
                due = loop.time() + LAG_STEP_S
                await asyncio.sleep(LAG_STEP_S)
                worst_s = max(worst_s, loop.time() - due)
            self._note(lag_ms=1e3 * worst_s)

    def _note(self, **what: float) -> None:
        print(json.dumps({"at": monotonic(), **what}), file=self._file, flush=True)


def keep_from_collector() -> None:
    """Set the collector up as Python does, and have the service leave it so."""
    gc.set_threshold(700, 10, 10)
    gc.freeze = lambda: None
    gc.set_threshold = lambda *_thresholds: None


def serve(notes: Notes) -> None:
    """Serve until the process is ended."""
    gc.callbacks.append(notes.collected)
    seam: Any = app
    watch = seam.watch_loop

    async def watch_closely(on_lag: Callable[[float], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(on_lag))
            group.create_task(notes.watch_loop())

    seam.watch_loop = watch_closely
    with suppress(SystemExit):
        main()


if __name__ == "__main__":
    path, how = sys.argv.pop(1), sys.argv.pop(1)
    if how == "python":
        keep_from_collector()
    with open(path, "w") as file:  # noqa: PTH123
        serve(Notes(file))
