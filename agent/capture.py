"""What happens to a call, for a replay: noted here, written by `agent.replay.writer`. Off unless the operator asks.

Nothing is copied and nothing computed where things happen: a note is a time, a kind, and references to frozen
values. The kinds, and what belongs to them:

    codecs        the codec by payload type: the caller's packets can be read
    rtp, poll     a packet came, before it is put in order; time alone released something. And at which time
    pcm           the caller's voice, as the call hears it: samples
    pull          20 ms of the agent's voice were taken
    ask           a client, a tool or the operator did something to the call: name, arguments
    connecting    a Live session is opened
    session       it is there: its id
    refused       it is not to be had: how, code, reason
    server        the Live server said something: the SDK's message
    unreadable    it said something that the SDK cannot read
    sent          it was told something: an item of the uplink
    lost          it ended the session: code, reason; without a code the connection broke
    event         the call's observers were told something
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from agent.clock import Clock

P = ParamSpec("P")
R = TypeVar("R")

MAX_WAITING = 8192  # notes of one call: half a minute; each holds a few KiB at most

Note = tuple[float, str, tuple[Any, ...]]
"""Monotonic seconds, the kind, and what belongs to it."""


class Capture:
    """The notes of one call that are not written yet.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.waiting: deque[Note] = deque()
        self.cut_short = False
        "Too much waited, so that nothing more is noted: a capture with a hole cannot be replayed."
        self.over = False
        "Nothing more will be noted."
        self._clock = clock

    def note(self, kind: str, *what: Any) -> None:
        """Note that something happened now."""
        if self.over or self.cut_short:
            return
        if len(self.waiting) >= MAX_WAITING:
            self.cut_short = True
            return
        self.waiting.append((self._clock(), kind, what))

    def noting(self, name: str, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that notes each of its calls as an `ask` before it does its work."""

        def noted(*args: P.args, **kwargs: P.kwargs) -> R:
            self.note("ask", name, args, kwargs)
            return function(*args, **kwargs)

        return noted

    def end(self) -> None:
        """Note nothing any more."""
        self.over = True
