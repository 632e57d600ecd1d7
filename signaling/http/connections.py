"""Close idle HTTP connections: after a time limit, and earlier when there are too many.

aiohttp itself lets a client take an hour for its first request. Here a new connection has `FIRST_REQUEST_TIMEOUT_S`
for that, and a request has `REQUEST_TIMEOUT_S` for its body and its answer, or `FORM_TIMEOUT_S` if it is a form,
which may contain pictures. When there are too many connections, the one that has been idle longest is closed, so
that clients which only hold connections open keep nobody out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from agent.clock import Clock, monotonic
from agent.errors import OfferError
from signaling.http.form import FORM_TYPE
from signaling.process.seldom import OncePerMinute

logger = logging.getLogger(__name__)

FIRST_REQUEST_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 75.0  # longer than proxies keep connections open, so that none closes during a proxy's request
REQUEST_TIMEOUT_S = 30.0
FORM_TIMEOUT_S = 60.0


class Connections:
    """Limits the connections of one service.

    Args:
        max_connections: how many there may be at once.
        clock: monotonic seconds.
    """

    def __init__(self, max_connections: int, clock: Clock = monotonic) -> None:
        self.closed_for_room = 0
        "Idle connections that were closed to make room."
        self.refused = 0
        "New connections that were closed because there was no room."
        self._max_connections = max_connections
        self._minute = OncePerMinute(clock)
        self._idle: dict[Any, asyncio.Transport] = {}  # keyed by aiohttp's protocol, longest idle first
        self._busy: set[Any] = set()
        self._timers: dict[Any, asyncio.TimerHandle] = {}

    def watch(self, server: web.Server) -> None:
        """Follow the connections that a server opens and closes."""
        made, lost = server.connection_made, server.connection_lost

        def connection_made(handler: Any, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._add(handler, transport)

        def connection_lost(handler: Any, exc: BaseException | None = None) -> None:
            self._remove(handler)
            lost(handler, exc)

        server.connection_made = connection_made  # type: ignore[method-assign]
        server.connection_lost = connection_lost  # type: ignore[method-assign]

    def _add(self, handler: Any, transport: asyncio.Transport) -> None:
        if len(self._idle) + len(self._busy) >= self._max_connections and not self._make_room():
            self.refused += 1
            if self._minute.due("refused"):
                logger.warning("all %d HTTP connections are busy: closing new ones", self._max_connections)
            transport.close()
            return
        self._idle[handler] = transport
        loop = asyncio.get_running_loop()
        self._timers[handler] = loop.call_later(FIRST_REQUEST_TIMEOUT_S, transport.close)

    def _make_room(self) -> bool:
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return False
        self.closed_for_room += 1
        if self._minute.due("room"):
            logger.warning(
                "there are %d HTTP connections: closing idle ones to make room for new ones", self._max_connections
            )
        transport = self._idle[oldest]
        self._remove(oldest)
        transport.abort()
        return True

    def _remove(self, handler: Any) -> None:
        self._idle.pop(handler, None)
        self._busy.discard(handler)
        timer = self._timers.pop(handler, None)
        if timer is not None:
            timer.cancel()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Mark a connection as busy during a request, and end requests that take too long."""
        protocol = request.protocol
        transport = self._idle.pop(protocol, None)
        timer = self._timers.pop(protocol, None)
        if timer is not None:
            timer.cancel()
        self._busy.add(protocol)
        limit_s = _limit_s(request)
        try:
            async with asyncio.timeout(limit_s) as deadline:
                return await handler(request)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise OfferError(408, "request_timeout", f"The request took more than {limit_s:g} s.") from None
        finally:
            if protocol in self._busy:
                self._busy.discard(protocol)
                if transport is not None:
                    self._idle[protocol] = transport


def _limit_s(request: web.Request) -> float | None:
    """Return how long a request may take; None for a WebSocket, which has no body and stays open."""
    if request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket":
        return None
    return FORM_TIMEOUT_S if request.content_type == FORM_TYPE else REQUEST_TIMEOUT_S
