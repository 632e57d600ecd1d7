"""Where faults and tests reach into a session: before each message, at named moments, and alongside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from agent.emulator.wire import ClientMessage, ServerMessage

if TYPE_CHECKING:
    from agent.emulator.handles import History
    from agent.emulator.model.brain import Reply, Turn
    from agent.emulator.record import SessionRecord


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


@dataclass(frozen=True)
class Refusal:
    """An answer to the WebSocket's upgrade other than yes."""

    status: int
    """The HTTP status, 400 to 599."""
    reason: str = ""
    retry_after_s: int | None = None


@dataclass(frozen=True)
class Tempo:
    """How the model's speech goes out."""

    times_real_time: float
    lead_s: float
    """Speech that is due within this much speech goes out at once."""


class Wire(Protocol):
    """One session's connection, as hooks may use it."""

    @property
    def record(self) -> SessionRecord:
        """What the session is and did so far."""

    @property
    def gone(self) -> bool:
        """Nobody is on the other end any more."""

    async def send(self, message: ServerMessage) -> None:
        """Send a message; it does not pass through ``before_send`` again."""

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a WebSocket close frame."""

    def abort(self) -> None:
        """Drop the TCP connection without a word."""

    async def interrupt(self) -> None:
        """Cut the running turn, if there is one, as if the caller had spoken; only from ``Hooks.run``."""

    async def cancel_calls(self) -> None:
        """Take back the function calls that are open; the turn goes on without them."""


class Hooks:
    """Does nothing; inherit and override what a fault needs. One value per session."""

    def upgrade(self, record: SessionRecord) -> Refusal | None:
        """Asked before the WebSocket is accepted."""
        return None

    async def set_up(self, wire: Wire, history: History | None) -> History | None:
        """The setup was read: returns what the session is to remember; None refuses its handle.

        Args:
            wire: its record holds the setup, the handle and the lineage.
            history: what the handle stands for; None if the server does not know it, empty without one.

        Raises:
            WireError: the session is refused with its code.
        """
        return history

    def received(self, record: SessionRecord, message: ClientMessage) -> None:
        """Told of each message before the session does anything about it.

        Raises:
            WireError: the session is closed with its code.
        """

    async def before_send(self, wire: Wire, message: ServerMessage) -> ServerMessage | None:
        """Return the message, another one, or None to swallow it; waiting here delays it and all after it."""
        return message

    async def at(self, wire: Wire, moment: Moment) -> None:
        """Told at each moment; the session waits for it."""

    def reply(self, wire: Wire, turn: Turn, reply: Reply) -> Reply:
        """Return what the model is to say and call instead."""
        return reply

    def tempo(self, usual: Tempo) -> Tempo:
        """Asked at the start of each turn."""
        return usual

    def pong_delay_s(self) -> float | None:
        """How long to wait before answering a ping that came now; None does not answer."""
        return 0.0

    async def run(self, wire: Wire) -> None:
        """Run from READY until the session ends, then cancelled: for what goes by time."""
