"""Log lines that nobody reads are dropped, never waited for; those that strangers cause are counted."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from signaling.process.logs import FORMATTERS, MAX_WAITING_RECORDS, BoundedHandler, StrangersErrors
from signaling.process.seldom import MINUTE_S


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    return logging.LogRecord("aiohttp.server", logging.ERROR, __file__, 1, message, args, info)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    handler = BoundedHandler(logging.Formatter("%(levelname)s %(message)s"), pipe[1])
    for number in range(3):
        handler.handle(record("line %d \udc80", number))
    handler.finish()
    assert os.read(pipe[0], 1000) == b"".join(b"ERROR line %d \\udc80\n" % number for number in range(3))


def test_a_reader_that_has_stopped_costs_lines_and_no_time(pipe: tuple[int, int]) -> None:
    """A pipe holds 64 KiB; a handler that waited for its reader would never come back here."""
    handler = BoundedHandler(logging.Formatter("%(message)s"), pipe[1])
    for _ in range(3 * MAX_WAITING_RECORDS):
        handler.handle(record("x" * 100))
    assert handler.dropped >= MAX_WAITING_RECORDS
    handler.finish()  # neither
    while b"were lost" not in os.read(pipe[0], 1 << 16):
        pass


def test_json_lines() -> None:
    try:
        int("why")
    except ValueError:
        info = sys.exc_info()
    made = logging.LogRecord("signaling.app", logging.WARNING, __file__, 1, 'a "%s"\n', ("ü",), info)
    line = FORMATTERS["json"].format(made)
    assert "\n" not in line
    assert "ü" in line
    read = json.loads(line)
    assert read["level"] == "warning"
    assert read["logger"] == "signaling.app"
    assert read["message"] == 'a "ü"\n'
    assert read["time"].endswith("+00:00")
    assert "ValueError: invalid literal" in read["error"]


def test_strangers_fill_one_line_a_minute() -> None:
    now = 100.0
    filtered = StrangersErrors(lambda: now)
    first = record("Error handling request from %s", "192.0.2.1", error=BadHttpMessage("x"))
    assert filtered.filter(first)
    assert first.exc_info is None
    assert first.getMessage() == "a request could not be read: BadHttpMessage (1 so far)"
    for _ in range(1000):
        assert not filtered.filter(record("again", error=BadHttpMessage("x")))
    assert filtered.filter(record("another kind", error=ConnectionResetError()))
    now += MINUTE_S
    later = record("again", error=BadHttpMessage("x"))
    assert filtered.filter(later)
    assert later.getMessage().endswith("(1002 so far)")
    assert filtered.counts == {"BadHttpMessage": 1002, "ConnectionResetError": 1}


def test_our_own_errors_are_never_hidden() -> None:
    filtered = StrangersErrors(lambda: 0.0)
    for _ in range(2):
        ours = record("Unhandled exception", error=RuntimeError("a bug"))
        assert filtered.filter(ours)
        assert ours.exc_info is not None
