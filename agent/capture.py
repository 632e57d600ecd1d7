"""Note what happens to a call, for a replay; `agent.replay.writer` writes it. Off unless the operator asks for it.

Taking a note copies and computes nothing: a note is a time, a kind, and references to frozen values. The kinds and
their data:

    codecs        the caller's packets can now be read: the codec by payload type
    rtp, poll     a packet came, before it is put in order; time alone released something. Both with their time
    pcm           the caller's voice, as the call hears it: samples
    frame, shown  a key frame of camera or screen became a picture: source, codec and frame; source and JPEG
    pull          20 ms of the agent's voice were taken
    ask           a client, a tool or the operator did something to the call: name, arguments
    connecting    a Live session is opened
    session       the session is open: its id
    refused       the session was refused: how, code, reason
    server        the Live server said something: the SDK's message
    unreadable    the Live server said something that the SDK cannot read
    sent          something was sent to the Live server: an item of the uplink
    lost          the Live server ended the session: code, reason; without a code the connection broke
    event         the call's observers were told something
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from agent.clock import Clock

P = ParamSpec("P")
R = TypeVar("R")

MAX_WAITING = 8192  # notes per call: half a minute; each holds at most a few KiB, except the rare frames
MAX_FRAME_BYTES = 256 << 10  # a larger picture, and what became of it, is left out

Note = tuple[float, str, tuple[Any, ...]]
"""Monotonic seconds, the kind, and the data."""


class Capture:
    """The notes of one call that have not been written yet.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.waiting: deque[Note] = deque()
        self.cut_short = False
        "True if too many notes were waiting, so no more are taken: a capture with a gap cannot be replayed."
        self.over = False
        "True once nothing more will be noted."
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
        """Note nothing more."""
        self.over = True
