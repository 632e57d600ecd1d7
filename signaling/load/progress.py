"""What is shown while a load test runs: a table on a terminal, else a line now and then."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from signaling.load.distribution import distribute
from signaling.load.figures import BY_NAME, measure, missing_replies
from signaling.load.generator import Now
from signaling.load.record import COMPLETED, STOPPED

LINE_EVERY_S = 10.0
SHOWN = ("set_up_ms", "response_ms", "added_ms", "stop_ms")
MAX_REASONS = 6


class Progress:
    """Shows how a test goes, while the context lasts.

    Args:
        console: where.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        self._values: dict[str, list[float | None]] = {name: [] for name in SHOWN}
        self._missing = self._late = 0
        self._offered_before, self._before_s = 0, 0.0
        self._next_line_s = LINE_EVERY_S

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, now: Now) -> None:
        """Show how it goes."""
        for record in now.records:
            self._missing += missing_replies(record)
            self._late += record.late
            for name, values in measure(record).items():
                if name in self._values:
                    self._values[name] += [each.value for each in values]
        per_s = (now.offered - self._offered_before) / max(now.at_s - self._before_s, 1e-3)
        self._offered_before, self._before_s = now.offered, now.at_s
        if self._live is not None:
            self._live.update(self._table(now, per_s))
        elif now.at_s >= self._next_line_s:
            self._next_line_s += LINE_EVERY_S
            self._console.print(
                f"{now.at_s:.0f} s: {now.up} up, {now.offered} offered, {now.outcomes[COMPLETED]} completed, "
                f"{_failed(now)} failed; generator late p99 {now.late_p99_ms:.1f} ms",
                highlight=False,
            )

    def _table(self, now: Now, per_s: float) -> Table:
        table = Table(title=f"{now.at_s:.0f} s", show_header=False)
        table.add_row("calls", f"{now.up} up, {now.offered} offered ({per_s:.1f} a second)")
        table.add_row("over", f"{now.outcomes[COMPLETED]} completed, {_failed(now)} failed")
        for reason, count in now.outcomes.most_common():
            if reason not in (COMPLETED, STOPPED):
                table.add_row("", f"[red]{count} {escape(reason)}[/]")
            if table.row_count > MAX_REASONS:
                break
        for name, values in self._values.items():
            if values:
                spread = distribute(values)
                p50, p95 = (_ms(spread.at[at]) for at in ("p50", "p95"))
                table.add_row(BY_NAME[name].title.partition(":")[0], f"{len(values)}; p50 {p50}, p95 {p95}")
        table.add_row("answers missing", str(self._missing))
        table.add_row("late packets", str(self._late))
        table.add_row("generator late", f"p99 {now.late_p99_ms:.1f} ms")
        return table


def _failed(now: Now) -> int:
    return sum(count for reason, count in now.outcomes.items() if reason not in (COMPLETED, STOPPED))


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} ms"
