"""How faults and tests reach into a session: before each message, at named moments, and alongside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.emulator.model.turn import Reply, Turn
from agent.emulator.moments import Moment
from agent.emulator.record import SessionRecord
from agent.emulator.wire.incoming import ClientMessage, History
from agent.emulator.wire.outgoing import ServerMessage


@dataclass(frozen=True)
class Refusal:
    """The HTTP answer to a WebSocket upgrade that is not accepted."""

    status: int
    """The HTTP status, 400 to 599."""
    reason: str = ""
    retry_after_s: int | None = None


@dataclass(frozen=True)
class SpeechPace:
    """How fast the model's speech is sent."""

    times_real_time: float
    lead_s: float
    """Speech that is due within this time is sent at once."""


class HookedSession(Protocol):
    """What hooks may do to a session."""

    @property
    def record(self) -> SessionRecord:
        """What the session is and has done so far."""

    @property
    def gone(self) -> bool:
        """The client has left."""

    async def send(self, message: ServerMessage) -> None:
        """Send a message without asking ``before_send``."""

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a WebSocket close frame."""

    def abort(self) -> None:
        """Drop the TCP connection without a close frame."""

    async def interrupt(self) -> None:
        """Cut the running turn, if there is one, as if the caller had spoken; only from ``Hooks.run``."""

    async def cancel_calls(self) -> None:
        """Take back the function calls that are open; the turn goes on without them."""


class Hooks:
    """Hooks that do nothing; override what a fault needs. Each session has its own."""

    def upgrade(self, record: SessionRecord) -> Refusal | None:
        """Called before the WebSocket is accepted; return a refusal to reject it."""
        return None

    async def set_up(self, session: HookedSession, history: History | None) -> History | None:
        """Called when the setup has been read; return what the session remembers, None to refuse its handle.

        Args:
            session: its record holds the setup, the handle and the lineage.
            history: what the handle stands for; None if the server does not know the handle, empty without one.

        Raises:
            WireError: the session is refused with this error's code.
        """
        return history

    def received(self, record: SessionRecord, message: ClientMessage) -> None:
        """Called with each message before the session acts on it.

        Raises:
            WireError: the session is closed with this error's code.
        """

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        """Return the message, another one, or None to drop it; waiting here delays it and everything after it."""
        return message

    async def at(self, session: HookedSession, moment: Moment) -> None:
        """Called at each moment; the session waits until it returns."""

    def reply(self, session: HookedSession, turn: Turn, reply: Reply) -> Reply:
        """Return what the model says and calls, in place of ``reply``."""
        return reply

    def pace(self, usual: SpeechPace) -> SpeechPace:
        """Called at the start of each turn; return the pace of its speech."""
        return usual

    def pong_delay_s(self) -> float | None:
        """How long to wait before answering a ping that came now; None leaves it unanswered."""
        return 0.0

    async def run(self, session: HookedSession) -> None:
        """Runs alongside the session, for what depends on time; cancelled when the session ends."""
