"""Where faults and tests reach into a session: before each message, at named moments, and alongside it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from agent.emulator.wire import ServerMessage


class Moment(StrEnum):
    """Something happened in a session."""

    CONNECTED = "connected"
    """The WebSocket is open, nothing was read yet."""
    SETUP_RECEIVED = "setup_received"
    """The setup was accepted, setupComplete is not sent yet."""
    READY = "ready"
    """setupComplete was sent."""
    MESSAGE_RECEIVED = "message_received"
    """A frame was read; waiting here stops reading the next one."""
    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    TURN_STARTED = "turn_started"
    """The model begins to answer; nothing of the answer was sent yet."""
    TOOL_CALLED = "tool_called"
    INTERRUPTED = "interrupted"
    TURN_COMPLETED = "turn_completed"


class Wire(Protocol):
    """One session's connection, as hooks may use it."""

    async def send(self, message: ServerMessage) -> None:
        """Send a message; it does not pass through ``before_send`` again."""

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a WebSocket close frame."""

    def abort(self) -> None:
        """Drop the TCP connection without a word."""


class Hooks:
    """Does nothing; inherit and override what a fault needs. One value per session."""

    async def before_send(self, wire: Wire, message: ServerMessage) -> ServerMessage | None:
        """Return the message, another one, or None to swallow it; waiting here delays it and all after it."""
        return message

    async def at(self, wire: Wire, moment: Moment) -> None:
        """Told at each moment; the session waits for it."""

    async def run(self, wire: Wire) -> None:
        """Run from READY until the session ends, then cancelled: for what goes by time."""
