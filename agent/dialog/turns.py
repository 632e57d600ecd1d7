"""Which generation the model's output belongs to, and whether it has been cut off.

Rules, from the Live API's order of messages:
  1. Output that arrives while no generation is open begins the next one.
  2. `interrupted` cuts the open generation; all that arrives until the turn's end belongs to it still.
  3. `turnComplete` closes it; the next output begins a new one.
  4. The end of a session closes it too.
  5. Should the turn's end never come after a cut, output that arrives after a pause is the next generation's: a
     missing message costs no reply. A model that streams leaves no such pause within a generation.
  6. A model that was not told of the cut goes on at its own pace, over tools and pauses: rule 5 holds for it only
     once it has completed the generation, or was told after all.
"""

from __future__ import annotations

PAUSE_S = 0.5  # rule 5


class Turns:
    """Number generations from 1 and remember whether the newest one is open or cut."""

    def __init__(self) -> None:
        self.generation = 0
        "The newest generation; 0 before the first."
        self._open = False
        self._cut = False
        self._knows = False  # the model, of the cut, or it has nothing more to say
        self._output_at = 0.0

    @property
    def open(self) -> bool:
        """True until the newest generation's turn is complete."""
        return self._open

    @property
    def generating(self) -> bool:
        """True while a generation is open and was not cut."""
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
            told: the model was told, or has said so itself (rule 6).
        """
        news = told and not self._knows
        if self._open and (news or not self._cut):
            self._cut = True
            self._output_at = now
        self._knows = self._knows or told
        return self.generation

    def generation_completed(self) -> None:
        """Note that the model has no more to say in the open generation (rule 6)."""
        self._knows = True

    def session_ended(self) -> bool:
        """Close the open generation: the rest of it will not come. Return False if none was open."""
        was_open, self._open, self._cut = self._open, False, False
        return was_open

    def turn_completed(self) -> int:
        """Close the open generation (rule 3) and return it."""
        self._open = False
        self._cut = False
        return self.generation
