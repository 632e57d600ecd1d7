"""The search for the largest load whose objectives hold. Pure: who runs the tests is passed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

RESOLUTION = 15  # the load is found to one part in so many
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Step:
    """One test of the search.

    Attributes:
        load: callers, or calls a second.
        verdict: of its report.
        limits: the objectives that did not hold.
        report: all of it.
    """

    load: float
    verdict: str
    limits: tuple[str, ...]
    report: Mapping[str, Any]


@dataclass(slots=True)
class Capacity:
    """What the search found.

    Attributes:
        steps: the tests, in order.
        held: the largest load that held; 0 if none did.
        limits: the objectives that failed at the smallest load that did not hold, the most frequent first.
        lowest_failed: the smallest load of which a repetition failed; None if none did.
        highest_held: the largest load of which a repetition held; None if none did.
        invalid: why the search could not go on; empty if it did.
    """

    steps: list[Step] = field(default_factory=list)
    held: float = 0.0
    limits: list[str] = field(default_factory=list)
    lowest_failed: float | None = None
    highest_held: float | None = None
    invalid: str = ""

    def report(self) -> dict[str, Any]:
        """Return the report of the newest test at the largest load that held, with the search's own figures."""
        own = [step.report for step in self.steps if step.load == self.held and step.verdict == "passed"]
        return {
            **(own[-1] if own else self.steps[-1].report),
            "capacity": {
                "held": self.held,
                "limits": self.limits,
                "lowest_failed": self.lowest_failed,
                "highest_held": self.highest_held,
                "invalid": self.invalid,
                "steps": [
                    {"load": step.load, "verdict": step.verdict, "limits": list(step.limits)} for step in self.steps
                ],
            },
        }


async def find_capacity(
    run: Callable[[float], Awaitable[Mapping[str, Any]]], *, first: float, repeat: int, whole: bool
) -> Capacity:
    """Double the load until it does not hold, then halve the distance.

    A load holds if most of its repetitions do. The spread says how far that can be trusted: from the smallest load
    of which one repetition failed to the largest of which one held.

    Args:
        run: tests a load and returns the report.
        first: the load to begin with.
        repeat: how often each load is tried, unless fewer tries have decided it.
        whole: loads are whole numbers.
    """
    found = Capacity()
    held, failed, load = 0.0, float("inf"), first
    while load <= MOST:
        verdict = await _try(found, run, load, repeat)
        if verdict is None:
            break
        if verdict:
            held = load
        else:
            failed = load
        step = max(1.0 if whole else held / RESOLUTION, held / RESOLUTION)
        if failed - held <= step or (not whole and failed < first / 100):
            break
        load = 2 * load if failed == float("inf") else (held + failed) / 2
        if whole:
            load = float(int(load))
    found.held = held
    found.lowest_failed = min((step.load for step in found.steps if step.verdict == "failed"), default=None)
    found.highest_held = max((step.load for step in found.steps if step.verdict == "passed"), default=None)
    broken = [name for step in found.steps if step.load == failed for name in step.limits]
    found.limits = sorted(set(broken), key=lambda name: (-broken.count(name), name))
    return found


async def _try(
    found: Capacity, run: Callable[[float], Awaitable[Mapping[str, Any]]], load: float, repeat: int
) -> bool | None:
    """Return whether a load holds; None if that cannot be said."""
    tally = {"passed": 0, "failed": 0}
    for _ in range(repeat):
        report = await run(load)
        limits = tuple(row["name"] for row in report["slos"] if row["verdict"] == "fail")
        found.steps.append(Step(load, report["verdict"], limits, report))
        if report["verdict"] == "invalid":
            reasons = [row["name"] for row in report["slos"] if row["verdict"] == "invalid"]
            found.invalid = report["invalid"] or f"not measured: {', '.join(reasons)}"
            return None
        tally[report["verdict"]] += 1
        if max(tally.values()) > repeat / 2:
            break
    return tally["passed"] > tally["failed"]
