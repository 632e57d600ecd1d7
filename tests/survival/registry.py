"""What a call survives: each test that shows it says so, and docs/faults.md is made from that.

`python -m tests.survival.registry > docs/faults.md` writes the page. What it says of logs, events and metrics is
checked each time that the test runs.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec

TESTS = Path(__file__).parent.parent
HEAD = """# What a call survives

What can go wrong with the Live API, what the caller notices and what the operator sees. This page is generated from
the tests (`python -m tests.survival.registry > docs/faults.md`), which run against the local Live server with its
[fault script](faults-script.md), through the real SDK, and listen to what the caller hears. Events go to the client
(see [events](events.md)); the word after an event is its kind, by which `talkspurt_events_total` counts it (see
[metrics](metrics.md)). Log lines are excerpts of the service's own.
"""

_Arguments = ParamSpec("_Arguments")
_Test = Callable[_Arguments, Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """A row of the page.

    Attributes:
        fault: what goes wrong.
        caller: what the caller notices.
        events: types of messages to the client, each followed by its kind if it has one: ``session-lost network``.
        log: part of a log line.
        metric: a metric that is not zero.
    """

    fault: str
    caller: str
    events: tuple[str, ...]
    log: str
    metric: str


@dataclass
class Seen:
    """What the client and the operator could see in a test."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    metrics: str = ""
    log: list[str] = field(default_factory=list)

    def missing(self, row: Row) -> list[str]:
        """Return what the row promises and the test did not show."""
        told = {kind for message in self.messages for kind in (message["type"], _own_type(message))}
        counted = {name for name, value in self._samples() if value}
        return [
            *(event for event in row.events if not _was_told(event, told, counted)),
            *([row.log] if row.log and not any(row.log in line for line in self.log) else []),
            *([row.metric] if row.metric and row.metric not in counted else []),
        ]

    def _samples(self) -> Iterator[tuple[str, float]]:
        for name, value in re.findall(r"^(talkspurt_\S+) (\S+)$", self.metrics, re.MULTILINE):
            yield name, float(value)


_SEEN: ContextVar[Seen | None] = ContextVar("seen", default=None)


def saw(messages: Iterable[dict[str, Any]] = (), metrics: str = "") -> None:
    """Note RTVI messages and metrics for the test that is running."""
    seen = _SEEN.get()
    if seen is not None:
        seen.messages += messages
        seen.metrics += metrics


def survives(
    fault: str, *, caller: str, events: tuple[str, ...] = (), log: str = "", metric: str = ""
) -> Callable[[_Test[_Arguments]], _Test[_Arguments]]:
    """State what a test shows, see `Row`; the test fails if logs, events or metrics do not agree."""
    row = Row(fault, caller, events, log, metric)

    def of(test: _Test[_Arguments]) -> _Test[_Arguments]:
        @functools.wraps(test)
        async def watched(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
            with _watching() as seen:
                await test(*args, **kwargs)
            missing = seen.missing(row)
            assert not missing, f"{row.fault}: not seen: {missing}"

        watched.survived = [row, *getattr(test, "survived", [])]  # type: ignore[attr-defined]
        return watched

    return of


@contextmanager
def _watching() -> Iterator[Seen]:
    """Collect what is logged and noted; the decorators of one test share it."""
    outer = _SEEN.get()
    if outer is not None:
        yield outer
        return
    seen = Seen()
    handler = logging.Handler()
    handler.emit = lambda record: seen.log.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("agent", "signaling")]
    levels = [logger.level for logger in loggers]
    token = _SEEN.set(seen)
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield seen
    finally:
        _SEEN.reset(token)
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


def _own_type(message: dict[str, Any]) -> str:
    data = message.get("data") or {}
    return str(data.get("type", "")) if message["type"] == "server-message" else ""


def _was_told(event: str, told: set[str], counted: set[str]) -> bool:
    message_type, _, kind = event.partition(" ")
    name = f'talkspurt_events_total{{event="{message_type.replace("-", "_")}",kind="{kind}"}}'
    return message_type in told and (not kind or name in counted)


def page() -> str:
    """Return docs/faults.md."""
    parts = [HEAD]
    for path in sorted(TESTS.glob("*/test_*.py")):
        if "@survives(" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(f"tests.{path.parent.name}.{path.stem}")
            parts.append(_table(str(module.__doc__).splitlines()[0].rstrip("."), path, _rows(module)))
    return "\n".join(parts)


def _rows(module: object) -> list[Row]:
    found = [row for test in vars(module).values() for row in getattr(test, "survived", ())]
    return sorted(found, key=lambda row: row.fault)


def _table(title: str, path: Path, rows: Iterable[Row]) -> str:
    name = path.relative_to(TESTS.parent)
    lines = ["| fault | what the caller notices | events | log and metrics |", "| --- | --- | --- | --- |"]
    for row in rows:
        events = ", ".join(f"`{event}`" for event in row.events)
        signs = ", ".join(f"`{sign}`" for sign in (row.log, row.metric) if sign)
        lines.append(f"| {row.fault} | {row.caller} | {events or 'none'} | {signs or 'none'} |")
    return f"## {title}\n\nShown by [{name}](../{name}).\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
