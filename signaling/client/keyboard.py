"""What a caller types in `talkspurt call`: texts given as flags, and lines from a terminal or a pipe."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence

MAX_WAITING = 64
MAX_LINE_BYTES = 16 << 10


class Keyboard:
    """The texts to type, in order.

    Args:
        texts: typed one by one, each once the agent has answered the previous one.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts = deque(texts)
        self._lines: queue.Queue[str | None] | None = None  # None before the first line and after the last
        self._hurried = self._holds = False

    @property
    def done(self) -> bool:
        """True once everything has been typed."""
        return not self._texts and not (self._holds and self._lines is not None)

    def read(self, fd: int, *, hurried: bool, holds: bool) -> None:
        """Read further lines from a file, until it ends.

        A daemon thread reads them; nothing could interrupt it, so nothing waits for it.

        Args:
            fd: the descriptor of an open file; it stays open.
            hurried: True if a person writes them, so that they are typed as they come, whatever the agent does.
            holds: True if `done` waits for the end of the file.
        """
        self._hurried, self._holds = hurried, holds
        self._lines = queue.Queue(MAX_WAITING)
        threading.Thread(target=_read, args=(fd, self._lines), name="keyboard", daemon=True).start()

    def next(self, *, free: bool) -> str | None:
        """Return the text to type now; None if there is none yet, or none left.

        Args:
            free: True if the agent has finished its answer.
        """
        if free and self._texts:
            return self._texts.popleft()
        while (free or self._hurried) and self._lines is not None and not self._lines.empty():
            line = self._lines.get_nowait()
            if line is None:
                self._lines = None
            elif line.strip():
                return line.strip()
        return None


def _read(fd: int, lines: queue.Queue[str | None]) -> None:
    """Queue a file's lines, then None; while the queue is full, the remaining lines wait in the pipe."""
    for line in _lines_of(fd):
        lines.put(line)
    lines.put(None)


def _lines_of(fd: int) -> Iterator[str]:
    """Yield a file's lines, read with `os.read`: a buffered reader's lock could keep the program from exiting."""
    rest = b""
    while True:
        try:
            data = os.read(fd, 4096)
        except OSError:  # the terminal is gone
            data = b""
        *whole, rest = (rest + data).split(b"\n")
        if not data and rest:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line[:MAX_LINE_BYTES].decode(errors="replace")
        rest = rest[:MAX_LINE_BYTES]
        if not data:
            return
