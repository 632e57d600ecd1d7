"""Which generation the model's output belongs to, and whether it has been cut off.

Rules, from the Live API's order of messages:
  1. Output that arrives while no generation is open begins the next one.
  2. `interrupted` cuts the open generation; all that arrives until the turn's end belongs to it still.
  3. `turnComplete` closes it; the next output begins a new one.
  4. Should the turn's end never come after a cut, output that arrives after a pause is the next generation's:
     a reply is never lost to a missing message.
"""

from __future__ import annotations

CUT_FOR_AT_LEAST_S = 1.0  # rule 4: late chunks of a cut generation arrive within a round trip
PAUSE_S = 0.4  # rule 4: a model that streams leaves no such pause between the chunks of one generation


class Turns:
    """Number generations from 1 and remember whether the newest one is open or cut."""

    def __init__(self) -> None:
        self.generation = 0
        "The newest generation; 0 before the first."
        self._open = False
        self._cut_at: float | None = None
        self._output_at = 0.0

    @property
    def generating(self) -> bool:
        """True while a generation is open and was not cut."""
        return self._open and self._cut_at is None

    def output_arrived(self, now: float) -> int:
        """Return the generation that output arriving now belongs to (rules 1, 2 and 4)."""
        if self._cut_at is not None and self._seems_new(now):
            self._open = False
        if not self._open:
            self.generation += 1
            self._open = True
            self._cut_at = None
        self._output_at = now
        return self.generation

    def cut(self, now: float) -> int:
        """Note that the model was interrupted; return the generation to flush (rule 2)."""
        if self._open and self._cut_at is None:
            self._cut_at = self._output_at = now
        return self.generation

    def turn_completed(self) -> int:
        """Close the open generation (rule 3) and return it."""
        self._open = False
        self._cut_at = None
        return self.generation

    def _seems_new(self, now: float) -> bool:
        assert self._cut_at is not None
        return now - self._cut_at >= CUT_FOR_AT_LEAST_S and now - self._output_at >= PAUSE_S
