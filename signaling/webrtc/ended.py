"""The calls that have ended recently: hanging one up a second time is not an error. Pure."""

from __future__ import annotations

ENDED_KNOWN_S = 60.0
MAX_ENDED_KNOWN = 8192  # more calls than end in a minute


class EndedCalls:
    """The ids of calls that ended within the last `ENDED_KNOWN_S`, at most `MAX_ENDED_KNOWN` of them."""

    def __init__(self) -> None:
        self._ended_at: dict[str, float] = {}  # oldest first

    def note(self, call_id: str, now: float) -> None:
        """Note that a call has ended."""
        self._ended_at[call_id] = now
        while len(self._ended_at) > MAX_ENDED_KNOWN or not self.knows(next(iter(self._ended_at)), now):
            del self._ended_at[next(iter(self._ended_at))]

    def knows(self, call_id: str, now: float) -> bool:
        """Return whether the call has ended recently."""
        ended_at = self._ended_at.get(call_id)
        return ended_at is not None and now - ended_at < ENDED_KNOWN_S
