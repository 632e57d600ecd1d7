"""One session's WebSocket: sends with a deadline and through the hooks, closes, aborts."""

from __future__ import annotations

import asyncio

from aiohttp import web

from agent.emulator.hooks import Hooks, Moment
from agent.emulator.record import SessionRecord
from agent.emulator.wire import ServerMessage

_SEND_DEADLINE_S = 30.0  # a client that reads nothing for so long is gone
_MAX_REASON_BYTES = 123  # RFC 6455 section 5.5


class Line:
    """The sending half of a session.

    Args:
        socket: the prepared WebSocket.
        transport: what it runs on, for aborting.
        hooks: None when nobody interferes, which saves their cost.
        record: told what was sent.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.WriteTransport | None,
        *,
        hooks: Hooks | None,
        record: SessionRecord,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._hooks = hooks
        self._record = record

    async def say(self, message: ServerMessage) -> None:
        """Send a message of the model's, unless the hooks will not have it."""
        if self._hooks is not None:
            changed = await self._hooks.before_send(self, message)
            if changed is None:
                return
            message = changed
        await self.send(message)

    async def send(self, message: ServerMessage) -> None:
        """Send as a binary frame.

        Raises:
            ConnectionError: the client is gone, or read nothing before the deadline.
        """
        if self._socket.closed:
            raise ConnectionResetError("the session is closed")
        try:
            async with asyncio.timeout(_SEND_DEADLINE_S):
                await self._socket.send_bytes(message.data)
        except TimeoutError as error:
            self.abort()
            raise ConnectionResetError("the client does not read") from error
        self._record.sent(message)

    async def at(self, moment: Moment) -> None:
        self._record.reached(moment)
        if self._hooks is not None:
            await self._hooks.at(self, moment)

    async def run_hooks(self) -> None:
        """Ends with the hooks' own run, or cancelled with the session."""
        if self._hooks is not None:
            await self._hooks.run(self)

    async def close(self, code: int, reason: str = "") -> None:
        self._record.closed_with(code, reason)
        await self._socket.close(code=code, message=reason.encode()[:_MAX_REASON_BYTES])

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
