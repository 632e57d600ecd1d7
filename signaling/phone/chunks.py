"""Determine when the chunks of a carrier's media stream begin. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_NUMBER_DIGITS = 15
MAX_LEAD_S = 2.0
MAX_LATE_IN_A_ROW = 10
TICKS_PER_MS = 8


class Chunks:
    """Place a carrier's chunks in time.

    ``chunk`` counts them, and ``timestamp`` is in milliseconds since the stream began. Either may be missing, and
    not every carrier uses them as Twilio does: once they stand still, or do not fit the time that has passed, they
    are ignored.
    """

    def __init__(self) -> None:
        self._numbered = self._timed = True
        self._chunk = self._at_ms = -1  # number and timestamp of the newest chunk
        self._late_in_a_row = 0
        self._began_ms: int | None = None
        self._began_at = 0.0
        self._end_ticks = 0  # end of the newest chunk

    def place(self, media: Mapping[str, Any], ticks: int, now: float) -> int | None:
        """Return when a chunk begins, in ticks of 8 kHz; None if it must be dropped.

        Args:
            media: the message's ``media`` object: untrusted.
            ticks: the chunk's length in ticks.
            now: monotonic seconds.
        """
        chunk, at_ms = _number(media.get("chunk")), _number(media.get("timestamp"))
        if self._numbered and self._is_late(chunk, at_ms):
            self._late_in_a_row += 1
            self._numbered = self._late_in_a_row < MAX_LATE_IN_A_ROW
            if self._numbered:
                return None
        self._late_in_a_row = 0
        begin = self._end_ticks
        if at_ms is not None and self._timed and at_ms > self._at_ms:
            if self._began_ms is None:
                self._began_ms, self._began_at = at_ms - begin // TICKS_PER_MS, now
            self._timed = (at_ms - self._began_ms) / 1000 - (now - self._began_at) <= MAX_LEAD_S
            if self._timed:
                begin = (at_ms - self._began_ms) * TICKS_PER_MS
        self._chunk = self._chunk if chunk is None else chunk
        self._at_ms = self._at_ms if at_ms is None else max(at_ms, self._at_ms)
        self._end_ticks = begin + ticks
        return begin

    def _is_late(self, chunk: int | None, at_ms: int | None) -> bool:
        by_chunk = None if chunk is None else chunk <= self._chunk
        by_time = None if at_ms is None else at_ms <= self._at_ms
        told = [late for late in (by_chunk, by_time) if late is not None]
        return bool(told) and all(told)


def _number(value: Any) -> int | None:
    """Return a count that was sent as text or as a number; None if it is neither."""
    text = str(value)
    return int(text) if len(text) <= MAX_NUMBER_DIGITS and text.isascii() and text.isdecimal() else None
