"""Tracks which generation the model's output belongs to, and whether it has been cut off.

Rules, derived from the order of the Live API's messages:
  1. Output that arrives while no generation is open begins the next one.
  2. `interrupted` cuts the open generation; everything until the end of the turn still belongs to it.
  3. `turnComplete` closes it; the next output begins a new one.
  4. The end of a session closes it too.
  5. If the turn's end never comes after a cut, output that arrives after a pause belongs to the next generation, so
     that a missing message does not cost a reply. A streaming model makes no such pause within a generation.
  6. A model that was not told of the cut continues at its own pace, across tools and pauses. For it, rule 5 applies
     only once it has completed the generation or has been told after all.
"""

from __future__ import annotations

PAUSE_S = 0.5  # rule 5


class Turns:
    """Numbers generations from 1 and remembers whether the newest one is open or cut."""

    def __init__(self) -> None:
        self.generation = 0
        "The newest generation; 0 before the first."
        self._open = False
        self._cut = False
        self._knows = False  # the model knows of the cut, or has completed the generation
        self._output_at = 0.0

    @property
    def open(self) -> bool:
        """True until the newest generation's turn is complete."""
        return self._open

    @property
    def generating(self) -> bool:
        """True while a generation is open and has not been cut."""
        return self._open and not self._cut

    def output_arrived(self, now: float) -> int:
        """Return the generation that output arriving now belongs to (rules 1, 2, 5 and 6)."""
        if self._cut and self._knows and now - self._output_at >= PAUSE_S:
            self._open = False
        if not self._open:
            self.generation += 1
            self._open = True
            self._cut = self._knows = False
        self._output_at = now
        return self.generation

    def cut(self, now: float, *, told: bool = True) -> int:
        """Note that the model was interrupted; return the generation to flush (rule 2).

        Args:
            now: monotonic seconds.
            told: whether the model was told of it or reported it itself (rule 6).
        """
        news = told and not self._knows
        if self._open and (news or not self._cut):
            self._cut = True
            self._output_at = now
        self._knows = self._knows or told
        return self.generation

    def generation_completed(self) -> None:
        """Note that the model has nothing more to say in the open generation (rule 6)."""
        self._knows = True

    def session_ended(self) -> bool:
        """Close the open generation, whose rest will never come; return False if none was open."""
        was_open, self._open, self._cut = self._open, False, False
        return was_open

    def turn_completed(self) -> int:
        """Close the open generation (rule 3) and return it."""
        self._open = False
        self._cut = False
        return self.generation
