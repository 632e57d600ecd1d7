"""Log who did what: calls, telephones dialled, wrong keys. The log never holds what was said in a call.

Lines go to the logger ``audit``. With the setting `audit_file` they go to a file instead, one JSON object per line,
readable by the service's user only.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from agent import events
from agent.call.call import Call
from agent.clock import Clock, monotonic
from agent.errors import ConfigError
from signaling.process.logs import BoundedHandler, JsonFormatter
from signaling.process.seldom import MINUTE_S

logger = logging.getLogger("audit")

MAX_FAILURES_PER_MINUTE = 600
MAX_SHOWN_CHARS = 200
REFUSAL_STATUSES = (401, 403, 421, 429)
LOGGED_METHODS = ("POST", "DELETE")  # not PATCH, which only trickles candidates and would fill the log
DIALLED = web.RequestKey("dialled", str)
"The request key under which a route notes whom it called."


class _LineLimit:
    """Bound the lines per minute that strangers can cause, and count the lines left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = -MINUTE_S
        self._written = 0
        self.left_out = 0

    def admit(self) -> bool:
        now = self._clock()
        if now - self._began_at >= MINUTE_S:
            self._began_at, self._written = now, 0
        self._written += 1
        if self._written > MAX_FAILURES_PER_MINUTE:
            self.left_out += 1
            return False
        return True


class Audit:
    """Write the audit log of one service.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        self._failures = _LineLimit(clock)

    def note(self, what: str, **fields: str | int | None) -> None:
        """Write what happened: ``call_started``, ``call_dialled``, ...

        Args:
            what: the event, named in the past tense.
            fields: who and what it concerns; texts are untrusted and shortened.
        """
        shown = {name: _shown(value) for name, value in fields.items() if value is not None}
        logger.info("%s %s", what, json.dumps(shown, ensure_ascii=False))

    def note_failure(self, what: str, **fields: str | int | None) -> None:
        """Write a failed attempt; those beyond `MAX_FAILURES_PER_MINUTE` are only counted."""
        if self._failures.admit():
            left_out, self._failures.left_out = self._failures.left_out, 0
            self.note(what, **fields, left_out=left_out or None)

    def watch(self, call: Call) -> None:
        """Write that a call has started, and later how it ended."""
        self.note("call_started", call=call.call_id, caller=call.caller)

        def note_end(event: events.Event) -> None:
            if isinstance(event, events.CallEnded):
                self.note(
                    "call_ended",
                    call=call.call_id,
                    reason=event.reason,
                    fault=event.fault,
                    seconds=round(call.duration_s),
                )

        call.observe(note_end)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Write the HTTP requests that changed something, and those that were refused."""
        response = await handler(request)
        asked = {"method": request.method, "path": request.path, "remote": request.remote}
        if response.status in REFUSAL_STATUSES:
            self.note_failure("request_refused", **asked, status=response.status)
        elif request.method in LOGGED_METHODS and response.status < 300:
            self.note("request_served", **asked, call=_call_id(response), dialled=request.get(DIALLED))
        return response


def _call_id(response: web.StreamResponse) -> str | None:
    return response.headers.get("Location", "").rpartition("/")[2] or None


def _shown(value: Any) -> Any:
    return value[:MAX_SHOWN_CHARS] if isinstance(value, str) else value


def audit_to(path: Path) -> Callable[[], None]:
    """Write the audit log to a file; return a function that writes the last lines and closes it.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"audit_file {path}: {error.strerror}") from None
    handler = BoundedHandler(JsonFormatter(), descriptor)
    logger.addHandler(handler)
    logger.propagate = False

    def finish() -> None:
        logger.removeHandler(handler)
        logger.propagate = True
        handler.finish()
        os.close(descriptor)

    return finish
