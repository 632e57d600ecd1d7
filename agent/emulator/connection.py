"""One session's WebSocket: sends through the hooks and with a deadline, closes, aborts."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import WSMsgType, web

from agent.emulator.hooks import Hooks, SpeechPace
from agent.emulator.model.turn import Reply, Turn
from agent.emulator.moments import Moment
from agent.emulator.record import SessionRecord
from agent.emulator.wire.incoming import ClientMessage, History
from agent.emulator.wire.outgoing import ServerMessage

_SEND_DEADLINE_S = 30.0  # a client that reads nothing for this long is gone
_MAX_LATE_PONGS = 256
_MAX_REASON_BYTES = 123  # RFC 6455 section 5.5


class TurnControl(Protocol):
    """What hooks may do to the model's turn."""

    async def interrupt(self) -> None: ...

    async def cancel_calls(self) -> None: ...


class Connection:
    """The connection of one session; hooks see it as a `HookedSession`.

    Args:
        socket: the prepared WebSocket.
        transport: what the socket runs on, for aborting.
        hooks: None if nobody interferes, which saves their cost.
        record: told what is sent and received.
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
        self._pongs: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_LATE_PONGS)
        self.record = record
        self.turn_control: TurnControl | None = None
        """Set by the session."""

    @property
    def gone(self) -> bool:
        return self._socket.closed or self._transport is None or self._transport.is_closing()

    async def read(self) -> str | bytes | None:
        """The client's next frame; None at the end. Pings get here only if hooks may delay their answers."""
        while True:
            frame = await self._socket.receive()
            match frame.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    data: str | bytes = frame.data
                    return data
                case WSMsgType.PING:
                    await self._answer_ping(bytes(frame.data))
                case WSMsgType.PONG:
                    pass
                case _:
                    return None

    async def say(self, message: ServerMessage) -> None:
        """Send a message from the model, unless the hooks drop it."""
        if self._hooks is not None:
            changed = await self._hooks.before_send(self, message)
            if changed is None:
                return
            message = changed
        await self.send(message)

    async def send(self, message: ServerMessage) -> None:
        """Send as a binary frame.

        Raises:
            ConnectionError: the client is gone, or has read nothing until the deadline.
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

    def pace(self, usual: SpeechPace) -> SpeechPace:
        return usual if self._hooks is None else self._hooks.pace(usual)

    async def run_hooks(self) -> None:
        """Ends when it is cancelled with the session."""
        if self._hooks is not None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_late_pongs(), name="emulator pongs")
                await self._hooks.run(self)

    async def _answer_ping(self, data: bytes) -> None:
        """Answer a ping now or later, in the order in which they came; of too many some are not answered."""
        delay_s = 0.0 if self._hooks is None else self._hooks.pong_delay_s()
        if delay_s is None:
            return
        if not delay_s and self._pongs.empty():
            await self._socket.pong(data)
        elif not self._pongs.full():
            self._pongs.put_nowait((asyncio.get_running_loop().time() + delay_s, data))

    async def _send_late_pongs(self) -> None:
        while True:
            due, data = await self._pongs.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._socket.pong(data)

    async def interrupt(self) -> None:
        if self.turn_control is not None:
            await self.turn_control.interrupt()

    async def cancel_calls(self) -> None:
        if self.turn_control is not None:
            await self.turn_control.cancel_calls()

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a close frame; a reason that is too long for one is cut."""
        self.record.closed_with(code, reason)
        message = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore").encode()  # no half character
        await self._socket.close(code=code, message=message)

    def abort(self) -> None:
        self.record.aborted()
        if self._transport is not None:
            self._transport.abort()
