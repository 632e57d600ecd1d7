"""Runs a plan in this process, or in several: then this one only watches, and adds up what they did."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from queue import Empty
from typing import Any

from agent.errors import AgentError
from agent.event_loop import loop_factory
from signaling.load.generator import Generated, Generator, Now, Plan, Sample
from signaling.load.player import Script

POLL_S = 0.2
NUMBERS_PER_PROCESS = 1_000_000

Watch = Callable[[Now], None]


class ProcessLostError(AgentError):
    """A process of the generator ended before its time."""


async def generate(
    plan: Plan, scripts: Sequence[Script], processes: int, stop: asyncio.Event, watch: Watch
) -> Generated:
    """Run a plan.

    Args:
        plan: what is done by all processes together.
        scripts: of the scenarios, in the order of the plan's weights.
        processes: how many share the callers.
        stop: set to end the test soon.
        watch: is told about once a second how it goes.

    Raises:
        ProcessLostError: a process did not come to its end.
    """
    if processes == 1:
        return await _here(plan, scripts, stop, watch)
    return await _Crowd(plan, scripts, processes, watch).run(stop)


def keep_garbage() -> None:
    """Collect garbage seldom: a collection among all that was imported would make packets late."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def shares(calls: int, processes: int) -> list[int]:
    """Return how many callers each process has."""
    return [calls // processes + (index < calls % processes) for index in range(processes)]


async def _here(plan: Plan, scripts: Sequence[Script], stop: asyncio.Event, watch: Watch) -> Generated:
    generator = Generator(plan, scripts)

    async def stopping() -> None:
        await stop.wait()
        generator.stop()

    waiting = asyncio.create_task(stopping())
    try:
        return await generator.run(watch)
    finally:
        waiting.cancel()


def _work(plan: Plan, scripts: Sequence[Script], results: Any, stop: Any) -> None:
    """Be one of several processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all; the first process tells the others
    keep_garbage()
    generator = Generator(plan, scripts)

    def watch(now: Now) -> None:
        results.put((plan.first_number, replace(now, records=[])))
        if stop.is_set():
            generator.stop()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        done = runner.run(generator.run(watch))
    results.put((plan.first_number, done))


class _Crowd:
    """Several processes, seen from the first."""

    def __init__(self, plan: Plan, scripts: Sequence[Script], processes: int, watch: Watch) -> None:
        context = multiprocessing.get_context("spawn")
        self._watch = watch
        self._results: Any = context.Queue()
        self._stop = context.Event()
        self._newest: dict[int, Now] = {}
        self._done: dict[int, Generated] = {}
        self._processes: dict[int, BaseProcess] = {}
        for index, calls in enumerate(shares(plan.calls, processes)):
            if calls:
                own = replace(plan, calls=calls, first_number=index * NUMBERS_PER_PROCESS)
                arguments = (own, list(scripts), self._results, self._stop)
                self._processes[own.first_number] = context.Process(target=_work, args=arguments, daemon=True)

    async def run(self, stop: asyncio.Event) -> Generated:
        for process in self._processes.values():
            process.start()
        try:
            while len(self._done) < len(self._processes):
                if stop.is_set():
                    self._stop.set()
                self._read()
                self._look_after()
                await asyncio.sleep(POLL_S)
        finally:
            self._stop.set()
            for process in self._processes.values():
                process.join(1.0)
                if process.is_alive():
                    process.terminate()
        return added_up(list(self._done.values()))

    def _read(self) -> None:
        while True:
            try:
                number, told = self._results.get_nowait()
            except Empty:
                return
            if isinstance(told, Generated):
                self._done[number] = told
                continue
            self._newest[number] = told
            everybody = list(self._newest.values())
            outcomes: Counter[str] = Counter()
            for each in everybody:
                outcomes.update(each.outcomes)
            self._watch(
                Now(
                    told.at_s,
                    sum(each.offered for each in everybody),
                    sum(each.up for each in everybody),
                    outcomes,
                    max(each.late_p99_ms for each in everybody),
                    [],
                )
            )

    def _look_after(self) -> None:
        for number, process in self._processes.items():
            if number not in self._done and process.exitcode not in (None, 0):
                raise ProcessLostError(f"a process of the generator ended with exit code {process.exitcode}")


def added_up(parts: Sequence[Generated]) -> Generated:
    """Return what several processes did as if it were one; their calls are numbered anew by when they began."""
    whole = Generated(min(part.began for part in parts), max(part.ended for part in parts))
    seconds: dict[int, list[Sample]] = {}
    for part in parts:
        whole.records += part.records
        whole.lateness.add(part.lateness)
        whole.cpu_s += part.cpu_s
        for sample in part.samples:
            seconds.setdefault(round(sample.at - whole.began), []).append(sample)
    whole.records.sort(key=lambda record: record.offered_at)
    for number, record in enumerate(whole.records):
        record.number = number
    whole.samples = [
        Sample(
            at=own[-1].at,
            up=sum(sample.up for sample in own),
            late_p99_ms=max(sample.late_p99_ms for sample in own),
            late_max_ms=max(sample.late_max_ms for sample in own),
            cpu_pct=sum(sample.cpu_pct for sample in own),
        )
        for _, own in sorted(seconds.items())
    ]
    return whole
