"""The reports of load tests on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from signaling.load.capacity import Capacity

COLOURS = {"pass": "green", "fail": "red", "invalid": "yellow", "not measured": "dim"}


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print a report: objectives, figures, what became of the calls, and the verdict."""
    table = Table(title=f"{report['about']['summary']}; {report['seconds']:g} s")
    for name in ("objective", "limit", "measured", "samples", "verdict"):
        table.add_column(name, justify="left" if name in ("objective", "verdict") else "right")
    for row in report["slos"]:
        value = row["value"]
        shown = f"{value:.6g}" if value is not None else "never" if row["samples"] else "-"
        limit = f"{'>=' if row['at_least'] else '<='} {row['limit']:g}"
        table.add_row(
            row["name"], limit, shown, str(row["samples"]), f"[{COLOURS[row['verdict']]}]{row['verdict']}[/]"
        )
    console.print(table)
    figures = Table("figure", "values", "missing", "p50", "p90", "p95", "p99", "max")
    for name, spread in report["figures"].items():
        if spread["count"]:
            cells = [
                "never" if spread[at] is None else f"{spread[at]:.1f}" for at in ("p50", "p90", "p95", "p99", "max")
            ]
            figures.add_row(name, str(spread["count"]), str(spread["missing"]), *cells)
    console.print(figures)
    for reason, count in report["outcomes"].items():
        console.print(f"{count} calls: {escape(reason)}", highlight=False)
    generator = report["generator"]
    console.print(
        f"generator: packets late p99 {generator['late_p99_ms']:g} ms, CPU {generator['cpu_pct']:g} % of a core",
        highlight=False,
    )
    if report["invalid"]:
        console.print(f"[yellow]invalid:[/] {escape(report['invalid'])}", soft_wrap=True)
    console.print(f"verdict: {report['verdict']}")


def print_capacity(console: Console, found: Capacity, *, by_rate: bool) -> int:
    """Print what a search found; return the exit code."""
    unit = "calls a second" if by_rate else "calls"
    console.print(f"capacity: {found.held:g} {unit}", highlight=False)
    if found.limits:
        console.print(f"limited by: {', '.join(found.limits)}", highlight=False)
    if found.lowest_failed is not None:
        held = "none" if found.highest_held is None else f"{found.highest_held:g}"
        console.print(
            f"spread: the smallest load that failed once is {found.lowest_failed:g}, "
            f"the largest that held once is {held}",
            highlight=False,
        )
    if found.invalid:
        console.print(f"[yellow]the search ended early:[/] {escape(found.invalid)}", soft_wrap=True)
        return 3
    return 0 if found.held else 1
