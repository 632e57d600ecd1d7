"""One load test from its options to its report, and the search for the capacity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from signaling.load.capacity import Capacity, find_capacity
from signaling.load.generator import Now, Plan
from signaling.load.player import Script
from signaling.load.processes import generate
from signaling.load.report import build
from signaling.load.server import Scraper
from signaling.load.slo import Objective

SET_UPS_PER_S = 20.0  # callers arrive so fast unless something else is said
PAUSE_S = 2.0  # between the tests of a search, for the service to let go of the calls


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tested.

    Attributes:
        plan: what is generated; its `calls` and times are those of `load`.
        scripts: of the scenarios.
        objectives: what should hold.
        processes: of the generator.
        by_rate: `load` is calls a second; else callers.
        load: see there.
        ramp_s: over how long the callers arrive; None chooses it.
        seconds: how long the test lasts; None ends it with the calls.
    """

    plan: Plan
    scripts: Sequence[Script]
    objectives: Sequence[Objective]
    processes: int
    by_rate: bool
    load: float
    ramp_s: float | None
    seconds: float | None

    def planned(self) -> Plan:
        """Return the plan of this load."""
        if self.by_rate:
            seconds = self.seconds or 60.0
            return replace(self.plan, calls=max(1, round(self.load * seconds)), ramp_s=seconds, duration_s=None)
        calls = max(1, round(self.load))
        ramp_s = calls / SET_UPS_PER_S if self.ramp_s is None else self.ramp_s
        return replace(self.plan, calls=calls, ramp_s=ramp_s, duration_s=self.seconds)

    def summary(self) -> str:
        """Say in one line what it is."""
        plan = self.planned()
        names = ", ".join(script.scenario.name for script in self.scripts)
        if self.by_rate:
            return f"{self.load:g} calls a second ({plan.arrivals.value}); {names}"
        return f"{plan.calls} callers, arriving in {plan.ramp_s:g} s ({plan.arrivals.value}); {names}"


async def run_trial(trial: Trial, stop: asyncio.Event, watch: Callable[[Now], None]) -> dict[str, Any]:
    """Run a test and return its report; `stop` ends it soon, with what is known so far."""
    plan = trial.planned()
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    scraper = Scraper(plan.url, plan.key)
    scraping = asyncio.create_task(scraper.run())
    try:
        done = await generate(plan, trial.scripts, trial.processes, stop, watch)
    finally:
        scraping.cancel()
        await asyncio.gather(scraping, return_exceptions=True)
    about = {
        "url": plan.url,
        "started": started,
        "summary": trial.summary(),
        "seed": plan.seed,
        "load": trial.load,
        "by_rate": trial.by_rate,
        "arrivals": plan.arrivals.value,
        "ramp_s": plan.ramp_s,
        "duration_s": plan.duration_s,
        "processes": trial.processes,
        "scenarios": {
            script.scenario.name: weight for script, weight in zip(trial.scripts, plan.weights, strict=True)
        },
        "metrics_trouble": scraper.trouble,
        "stopped_early": stop.is_set(),
    }
    return build(done, scraper.scrapes, trial.objectives, about)


async def search(
    trial: Trial, stop: asyncio.Event, watch: Callable[[Now], None], *, repeat: int, told: Callable[[str], None]
) -> Capacity:
    """Search for the largest load that holds, beginning with the test's own.

    Args:
        trial: what is tested.
        stop: ends the search after the test that runs.
        watch: see `run_trial`.
        repeat: how often each load is tried.
        told: is given a line about each test.
    """

    async def run(load: float) -> Mapping[str, Any]:
        report = await run_trial(replace(trial, load=load), stop, watch)
        if stop.is_set():
            report |= {"verdict": "invalid", "invalid": "the search was stopped"}
        failed = ", ".join(f"{row['name']} {_value(row)}" for row in report["slos"] if row["verdict"] == "fail")
        told(f"{load:g}: {report['verdict']}{f' ({failed})' if failed else ''}")
        await asyncio.sleep(PAUSE_S)
        return report

    return await find_capacity(run, first=trial.load, repeat=repeat, whole=not trial.by_rate)


def _value(row: Mapping[str, Any]) -> str:
    return "never" if row["value"] is None else f"{row['value']:g}"
