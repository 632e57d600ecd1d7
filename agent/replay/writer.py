"""Write captures to files outside the event loop, in one thread for all calls of a process.

The thread checks for notes four times a second; waking it for each note would cost the loop far more.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, TextIO

from agent.capture import Capture
from agent.clock import Clock
from agent.errors import ConfigError
from agent.replay.encode import encode
from agent.replay.file import END, SUFFIX, create, line

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.25
MAX_FILE_CHARS = 1 << 30
FINISH_TIMEOUT_S = 10.0
BEGINS = "connecting"
"""The kind of note at which a file is begun, so that callers who never connect leave none."""


class _Writing:
    """One call's capture file."""

    def __init__(self, path: Path, header: dict[str, Any], capture: Capture) -> None:
        self.capture = capture
        self._path = path
        self._header = header
        self._file: TextIO | None = None
        self._chars = 0

    def write(self) -> bool:
        """Write the waiting notes; return False once there will be no more.

        Raises:
            OSError: the file cannot be written.
        """
        capture = self.capture
        over = capture.over or capture.cut_short
        if self._file is None and not any(kind == BEGINS for _at, kind, _what in tuple(capture.waiting)):
            return not over
        if self._file is None:
            self._file = create(self._path)
            self._put(line(self._header))
        while capture.waiting:
            self._put(line(encode(capture.waiting.popleft())))
        if self._chars > MAX_FILE_CHARS:
            capture.cut_short = over = True
        if over:
            self._put(line([0, END, not capture.cut_short]))
            self.close()
        else:
            self._file.flush()  # so that what was written survives if the process is killed
        return not over

    def _put(self, text: str) -> None:
        assert self._file is not None
        self._file.write(text)
        self._chars += len(text)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None


class CaptureWriter:
    """Capture the calls of a process into a folder.

    Args:
        folder: the folder for captures; if missing, it is created for its owner only.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = folder / f".probe{SUFFIX}"
            probe.unlink(missing_ok=True)
            create(probe).close()
            probe.unlink()
        except OSError as error:
            raise ConfigError(f"capture_folder: cannot write to {str(folder)!r}: {error.strerror}") from None
        self._writing: list[_Writing] = []
        self._changed = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
        self._thread.start()

    def begin(self, call_id: str, header: dict[str, Any], clock: Clock) -> Capture:
        """Return the `Capture` for a call's notes; its file is begun when its caller connects."""
        capture = Capture(clock)
        with self._changed:
            self._writing.append(_Writing(self._folder / f"{call_id}{SUFFIX}", header, capture))
        return capture

    def finish(self) -> None:
        """Write the notes still waiting, and end; call it after the last call has ended."""
        self._stop.set()
        self._thread.join(FINISH_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.wait(POLL_INTERVAL_S):
            self._look()
        with self._changed:
            for each in self._writing:
                each.capture.end()
        self._look()

    def _look(self) -> None:
        with self._changed:
            writing = tuple(self._writing)
        done = [each for each in writing if not self._written(each)]
        if done:
            with self._changed:
                self._writing = [each for each in self._writing if each not in done]

    def _written(self, writing: _Writing) -> bool:
        try:
            return writing.write()
        except (OSError, ValueError, TypeError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            logger.warning("a capture cannot be written any more: %s", why)
            writing.capture.cut_short = True
            writing.capture.waiting.clear()
            return False
