"""Records when anything came from the Live server: a message, a pong, or a part of either.

The SDK passes on only messages. The rest is seen through an option of websockets, ``create_connection``, with which
connections are made from our own class. A connection finds the pulse that it reports to in the context variables of
the task that makes it.
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
        "When something last came; 0 before anything came."
        self.slowest_pong_s = 0.0
        "The longest time that the server took to answer a ping."
        self.clock = clock

    def watch(self) -> None:
        """Watch the connections that the running task makes from now on."""
        _PULSE.set(self)


class WatchedConnection(ClientConnection):
    """A connection that reports to the pulse of its context when anything comes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pulse = _PULSE.get()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # These are methods of the transport, which may refer to this connection: a cycle would keep their buffers.
        self.recv_messages.pause = self.recv_messages.resume = _nothing_to_pause

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        pulse = self._pulse
        if pulse is not None:
            pulse.felt_at = pulse.clock()
            if self.latency > pulse.slowest_pong_s:
                pulse.slowest_pong_s = self.latency
