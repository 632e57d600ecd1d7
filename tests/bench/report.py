"""The figures that count, what they should be, and the table of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

from tests.bench.phases import Figures

DISTURBED_PCT = 5.0  # more than this of a core, and a figure is the machine's as much as the service's


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        key: the figure's name in the results.
        title: what it is.
        target: what it should reach; None if it is shown for comparison.
        better: which way is better.
        digits: to print.
    """

    key: str
    title: str
    target: float | None
    better: Literal["less", "more"] = "less"
    digits: int = 1

    def met(self, value: float) -> bool:
        """Return True if a value reaches the target."""
        assert self.target is not None
        return value <= self.target if self.better == "less" else value >= self.target

    def advantage(self, talkspurt: float, plain: float) -> float:
        """Return how many times better talkspurt is than plain aiortc; nan if that cannot be said."""
        better, worse = (talkspurt, plain) if self.better == "less" else (plain, talkspurt)
        if math.isnan(better) or math.isnan(worse) or better <= 0 or worse < 0:
            return math.nan
        return worse / better


def rows(loss: Sequence[float], capacity: int) -> list[Row]:
    """Return the lines for these shares of loss and this many calls."""
    found = [
        Row("uplink_p50_ms", "uplink p50, ms", 5),
        Row("uplink_p95_ms", "uplink p95, ms", 25),
        Row("downlink_p50_ms", "downlink p50, ms", 8),
        Row("downlink_p95_ms", "downlink p95, ms", 15),
        Row("downlink_first_ms", "downlink, first reply of a call, ms", None),
        Row("flush_p50_ms", "flush p50, ms", None),
        Row("flush_p95_ms", "flush p95, ms", 21),
        Row("time_share", "share of call time delivered", 0.998, "more", 3),
    ]
    for share in loss:
        if share > 0:
            name = loss_name(share)
            extra = 60.0 if share <= 0.01 else None
            found += [
                Row(f"{name}_uplink_extra_p95_ms", f"{share:.0%} loss: uplink p95 more, ms", extra),
                Row(f"{name}_time_share", f"{share:.0%} loss: share of call time delivered", 0.998, "more", 3),
                Row(f"{name}_markers_share", f"{share:.0%} loss: share of markers recognised", None, "more", 3),
            ]
    return [
        *found,
        Row("cpu_per_call_pct", "CPU per talking call, % of a core", None, digits=2),
        Row("video_pictures_per_s", "pictures a second that reach the model", None, "more"),
        Row("video_cpu_pct", "640x480@30 video on top, % of a core", 1.0, digits=2),
        Row("memory_per_call_mb", "memory per further call, MB", 1.0, digits=2),
        Row("capacity_calls", "talking calls without a late frame", capacity, "more", 0),
    ]


def loss_name(share: float) -> str:
    """Return how a share of loss is named in the results."""
    return f"loss_{share * 100:g}pct"


def table(lines: Sequence[Row], results: Mapping[str, Figures]) -> Table:
    """Lay the results out, one service per column."""
    made = Table(title="what the service adds, measured from outside")
    made.add_column("figure")
    for name in results:
        made.add_column(name, justify="right")
    both = len(results) == 2
    if both:
        made.add_column("times better", justify="right")
    made.add_column("target", justify="right")
    made.add_column("met")
    for row in lines:
        values = [results[name].get(row.key, math.nan) for name in results]
        if all(map(math.isnan, values)):
            continue
        cells = [row.title, *(_number(value, row.digits) for value in values)]
        if both:
            cells.append(_number(row.advantage(values[0], values[1]), 1))
        cells += _verdict(row, results)
        made.add_row(*cells)
    return made


def level(results: Mapping[str, Figures]) -> None:
    """Bring the costs in processor time of all services to one speed of the machine: the fastest that was seen."""
    paces = [
        value for figures in results.values() for key, value in figures.items() if key.endswith("yardstick_ms")
    ]
    for figures in results.values():
        for cost, pace, name in (
            ("cpu_cpu_per_call_pct", "cpu_yardstick_ms", "cpu_per_call_pct"),
            ("video_cpu_more_pct", "video_yardstick_ms", "video_cpu_pct"),
        ):
            figures[name] = figures.get(cost, math.nan) * min(paces) / figures.get(pace, math.nan)


def doubts(results: Mapping[str, Figures]) -> list[str]:
    """Say in words what makes a figure less than it seems."""
    said = []
    for name, figures in results.items():
        for key, value in figures.items():
            if key.endswith("service_core_foreign_pct") and value > DISTURBED_PCT:
                part = key.removesuffix("service_core_foreign_pct").rstrip("_") or "delays"
                said.append(f"{name}, {part}: other programs took {value:.0f} % of the service's core")
        if figures.get("video_pictures_per_s", 1.0) < 0.5:
            said.append(f"{name}, video: hardly any picture reached the model; the cost is not that of the work")
        if figures.get("at_capacity_harness_saturated"):
            said.append(f"{name}, capacity: the harness was the bottleneck; the service may hold more")
    paces = [
        value for figures in results.values() for key, value in figures.items() if key.endswith("yardstick_ms")
    ]
    if paces and max(paces) > 1.2 * min(paces):
        said.append(
            f"the machine's speed changed by a factor of {max(paces) / min(paces):.1f} between measurements"
        )
    return said


def _verdict(row: Row, results: Mapping[str, Figures]) -> tuple[str, str]:
    if row.target is None:
        return "", ""
    sign = "<=" if row.better == "less" else ">="
    value = results.get("talkspurt", {}).get(row.key, math.nan)
    met = "" if math.isnan(value) else "[green]yes" if row.met(value) else "[red]no"
    return f"{sign} {row.target:g}", met


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
