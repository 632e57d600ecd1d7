"""One session's WebSocket: sends with a deadline and through the hooks, closes, aborts."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from agent.emulator.handles import History
from agent.emulator.hooks import Hooks, Moment, Tempo
from agent.emulator.model.brain import Reply, Turn
from agent.emulator.record import SessionRecord
from agent.emulator.wire import ClientMessage, ServerMessage

_SEND_DEADLINE_S = 30.0  # a client that reads nothing for so long is gone
_MAX_REASON_BYTES = 123  # RFC 6455 section 5.5


class Control(Protocol):
    """What hooks may make a session do."""

    async def interrupt(self) -> None: ...

    async def cancel_calls(self) -> None: ...


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
        self._pongs: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.record = record
        self.control: Control | None = None
        """The session, once it is set up."""

    @property
    def gone(self) -> bool:
        return self._socket.closed or self._transport is None or self._transport.is_closing()

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
        self.record.sent(message)

    async def at(self, moment: Moment) -> None:
        self.record.reached(moment)
        if self._hooks is not None:
            await self._hooks.at(self, moment)

    def received(self, message: ClientMessage) -> None:
        self.record.got(message)
        if self._hooks is not None:
            self._hooks.received(self.record, message)

    async def set_up(self, history: History | None) -> History | None:
        return history if self._hooks is None else await self._hooks.set_up(self, history)

    def reply(self, turn: Turn, reply: Reply) -> Reply:
        return reply if self._hooks is None else self._hooks.reply(self, turn, reply)

    def tempo(self, usual: Tempo) -> Tempo:
        return usual if self._hooks is None else self._hooks.tempo(usual)

    async def pinged(self, data: bytes) -> None:
        """Answer a ping now or later, in the order they came."""
        delay_s = 0.0 if self._hooks is None else self._hooks.pong_delay_s()
        if delay_s is None:
            return
        if not delay_s and self._pongs.empty():
            await self._socket.pong(data)
        else:
            self._pongs.put_nowait((asyncio.get_running_loop().time() + delay_s, data))

    async def run_hooks(self) -> None:
        """Ends when it is cancelled with the session."""
        if self._hooks is not None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_pongs(), name="emulator pongs")
                await self._hooks.run(self)

    async def _send_pongs(self) -> None:
        while True:
            due, data = await self._pongs.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._socket.pong(data)

    async def interrupt(self) -> None:
        if self.control is not None:
            await self.control.interrupt()

    async def cancel_calls(self) -> None:
        if self.control is not None:
            await self.control.cancel_calls()

    async def close(self, code: int, reason: str = "") -> None:
        self.record.closed_with(code, reason)
        await self._socket.close(code=code, message=reason.encode()[:_MAX_REASON_BYTES])

    def abort(self) -> None:
        self.record.aborted()
        if self._transport is not None:
            self._transport.abort()
