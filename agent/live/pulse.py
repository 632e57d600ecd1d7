"""When anything at all came from the Live server: a message, a pong, or a piece of either.

The SDK hands on only messages. The rest is read where websockets lets a client be customised: by the option
``create_connection``, which makes connections of our own class. A connection learns from the context in which it is
made which session it is for.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from websockets.asyncio.client import ClientConnection

from agent.clock import Clock

_PULSE: ContextVar[Pulse | None] = ContextVar("pulse", default=None)


def _nothing_to_pause() -> None:
    pass


class Pulse:
    """The signs of life of one call's Live sessions.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.felt_at = 0.0
        "When something came last; 0 before anything came."
        self.slowest_pong_s = 0.0
        "The longest that the server took to answer a ping."
        self.clock = clock

    def watch(self) -> None:
        """Feel the connections that the running task makes from now on."""
        _PULSE.set(self)


class WatchedConnection(ClientConnection):
    """A connection that tells the pulse of its context when anything comes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pulse = _PULSE.get()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # These are methods of the transport, which may hold this connection: they would keep each other's buffers.
        self.recv_messages.pause = self.recv_messages.resume = _nothing_to_pause

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        pulse = self._pulse
        if pulse is not None:
            pulse.felt_at = pulse.clock()
            if self.latency > pulse.slowest_pong_s:
                pulse.slowest_pong_s = self.latency
