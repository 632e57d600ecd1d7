"""Log without blocking the event loop, and without letting strangers fill the disk.

Records wait in a bounded queue, and a thread writes them. If nobody reads them (a full pipe), lines are dropped and
counted, and nothing else suffers. The standard library is enough: JSON lines need one formatter, and other
libraries log through it anyway, so a logging framework would only add a layer.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import Literal

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agent.clock import Clock, monotonic
from signaling.process.seldom import OncePerMinute

LogFormat = Literal["text", "json"]

MAX_WAITING_RECORDS = 10_000
LAST_LINES_S = 1.0
STDERR = 2
LIBRARIES = ("aiortc", "aioice", "google_genai", "websockets", "httpx")
BY_STRANGERS = (
    HttpProcessingError,
    web.HTTPException,
    web.RequestPayloadError,
    ConnectionError,
    TimeoutError,
    UnicodeError,
)
"""What aiohttp raises for malformed or aborted requests."""


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a JSON object with ``time``, ``level``, ``logger``, ``message``, and ``error`` for a traceback."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


FORMATTERS: dict[LogFormat, logging.Formatter] = {
    "text": logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"),
    "json": JsonFormatter(),
}


class BoundedHandler(QueueHandler):
    """Put records into a queue that a thread empties; records that do not fit are dropped and counted.

    Args:
        formatter: turns a record into a line, in the caller's thread, before the record's arguments can change.
        descriptor: the descriptor of the file that the lines go to.
    """

    def __init__(self, formatter: logging.Formatter, descriptor: int = STDERR) -> None:
        self.lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_RECORDS)
        super().__init__(self.lines)
        self.setFormatter(formatter)
        self.dropped = 0
        "The number of lines that were never written."
        self._descriptor = descriptor
        self._writer = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._writer.start()

    def prepare(self, record: logging.LogRecord) -> str:
        """Return the line for a record."""
        return self.format(record)

    def enqueue(self, line: str) -> None:  # type: ignore[override]
        """Queue a line, or drop it."""
        try:
            self.lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def finish(self) -> None:
        """Wait up to `LAST_LINES_S` for the last lines to be written."""
        with suppress(queue.Full):
            self.lines.put_nowait(None)
            self._writer.join(LAST_LINES_S)

    def _write(self) -> None:
        """Write the lines until `finish` is called or the process ends."""
        told = 0
        while (line := self.lines.get()) is not None:
            if self.dropped > told:
                told, line = self.dropped, f"{self.dropped} lines were lost until here: nobody read them\n{line}"
            try:
                _write_all(self._descriptor, f"{line}\n".encode(errors="backslashreplace"))
            except OSError:
                self.dropped += 1


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class StrangersErrors(logging.Filter):
    """Count the errors that strangers cause instead of logging tracebacks; log one line per kind and minute.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        "The number of errors by type."
        self._minute = OncePerMinute(clock)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through unless a malformed or aborted request caused it."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, BY_STRANGERS):
            return True
        kind = type(error).__name__
        self.counts[kind] += 1
        if not self._minute.due(kind):
            return False
        record.msg, record.args = "a request could not be read: %s (%d so far)", (kind, self.counts[kind])
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def log_to_stderr(level: str, log_format: LogFormat) -> BoundedHandler:
    """Write the log to stderr; return the handler, whose `finish` must be called at the end.

    Args:
        level: the lowest level that is logged; libraries log only warnings and above.
        log_format: text or JSON lines.
    """
    handler = BoundedHandler(FORMATTERS[log_format])
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler


def lines_dropped() -> int:
    """Return how many log lines this process has dropped."""
    return sum(each.dropped for each in logging.getLogger().handlers if isinstance(each, BoundedHandler))
