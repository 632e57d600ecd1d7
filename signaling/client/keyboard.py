"""What a caller types in `talkspurt call`: given texts, and lines of the terminal or a pipe."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence

MAX_WAITING = 64
MAX_LINE_BYTES = 16 << 10


class Keyboard:
    """Texts in the order in which they are to be typed.

    Args:
        texts: each is typed once the agent has answered the one before.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._texts = deque(texts)
        self._lines: queue.Queue[str | None] | None = None  # None before the first and after the last
        self._hurried = self._holds = False

    @property
    def done(self) -> bool:
        """All was typed."""
        return not self._texts and not (self._holds and self._lines is not None)

    def read(self, fd: int, *, hurried: bool, holds: bool) -> None:
        """Take further lines from a file, until it ends.

        A thread of its own waits for them. It is not waited for: nothing can interrupt it.

        Args:
            fd: an open file's descriptor; it is not closed.
            hurried: a person writes them: they are typed as they come, whatever the agent does.
            holds: there is more to be typed until the file ends.
        """
        self._hurried, self._holds = hurried, holds
        self._lines = queue.Queue(MAX_WAITING)
        threading.Thread(target=_read, args=(fd, self._lines), name="keyboard", daemon=True).start()

    def next(self, *, free: bool) -> str | None:
        """Return what is to be typed now; None if that is nothing yet, or no more.

        Args:
            free: the agent has finished.
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
    """Queue a file's lines, then None; what is typed faster than it can be told waits in the pipe."""
    for line in _lines_of(fd):
        lines.put(line)
    lines.put(None)


def _lines_of(fd: int) -> Iterator[str]:
    """Yield a file's lines; past `os.read`, a buffered reader's lock could hold up the end of the program."""
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
