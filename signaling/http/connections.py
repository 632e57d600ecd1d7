"""HTTP connections that do nothing are closed: after a time, and sooner when somebody else wants in.

aiohttp itself lets a client take an hour over its first request. Here a new connection gets `FIRST_REQUEST_S`
for it, a request gets `REQUEST_S` for its body and its answer, `FORM_S` if it is a form, which may hold pictures.
When there are too many connections the one that has been idle longest makes room, so that a crowd that only holds
connections open keeps nobody out.
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
from signaling.process.logs import QUIET_S

logger = logging.getLogger(__name__)

FIRST_REQUEST_S = 10.0
KEEP_ALIVE_S = 75.0  # longer than proxies keep a connection, so that it is not closed under a request of theirs
REQUEST_S = 30.0
FORM_S = 60.0


class Connections:
    """Bound the connections of one service.

    Args:
        most: how many there may be at once.
        clock: monotonic seconds.
    """

    def __init__(self, most: int, clock: Clock = monotonic) -> None:
        self.closed_for_room = 0
        "Idle connections that had to make room."
        self.refused = 0
        "Connections that found no room."
        self._most = most
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._idle: dict[Any, asyncio.Transport] = {}  # by aiohttp's protocol, longest idle first
        self._busy: set[Any] = set()
        self._timers: dict[Any, asyncio.TimerHandle] = {}

    def watch(self, server: web.Server) -> None:
        """Take over what a server does with a connection that comes and goes."""
        made, lost = server.connection_made, server.connection_lost

        def connection_made(handler: Any, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._come(handler, transport)

        def connection_lost(handler: Any, exc: BaseException | None = None) -> None:
            self._go(handler)
            lost(handler, exc)

        server.connection_made = connection_made  # type: ignore[method-assign]
        server.connection_lost = connection_lost  # type: ignore[method-assign]

    def _come(self, handler: Any, transport: asyncio.Transport) -> None:
        if len(self._idle) + len(self._busy) >= self._most and not self._make_room():
            self.refused += 1
            if self._may_tell("refused"):
                logger.warning("all %d HTTP connections are busy: further ones are closed", self._most)
            transport.close()
            return
        self._idle[handler] = transport
        loop = asyncio.get_running_loop()
        self._timers[handler] = loop.call_later(FIRST_REQUEST_S, transport.close)

    def _make_room(self) -> bool:
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return False
        self.closed_for_room += 1
        if self._may_tell("room"):
            logger.warning("there are %d HTTP connections: idle ones make room for new ones", self._most)
        transport = self._idle[oldest]
        self._go(oldest)
        transport.abort()
        return True

    def _may_tell(self, kind: str) -> bool:
        """Say whether a kind is to be logged: once a minute."""
        now = self._clock()
        if now - self._told_at.get(kind, -QUIET_S) < QUIET_S:
            return False
        self._told_at[kind] = now
        return True

    def _go(self, handler: Any) -> None:
        self._idle.pop(handler, None)
        self._busy.discard(handler)
        timer = self._timers.pop(handler, None)
        if timer is not None:
            timer.cancel()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a connection is busy with a request, and end a request that takes too long."""
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
    """Return how long a request may take; None for a WebSocket, which has no body to wait for, and lasts."""
    if request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket":
        return None
    return FORM_S if request.content_type == FORM_TYPE else REQUEST_S
