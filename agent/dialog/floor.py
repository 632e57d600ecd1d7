"""Whether the caller has the floor, by the level of their voice or by their own marks. Pure.

Rules:
  1. Usually the level of the caller's voice decides. It gates nothing: the Live server detects turns itself.
  2. If the Live server's detector is off (push-to-talk), only the caller's marks decide, not the level.
"""

from __future__ import annotations


class Floor:
    """Tracks whether the caller has the floor.

    Args:
        marked: whether rule 2 applies.
    """

    def __init__(self, *, marked: bool) -> None:
        self.marked = marked
        self.taken = False
        "True while the caller has the floor."

    def level(self, speaking: bool) -> bool:
        """Note the level; return True if this took or gave up the floor."""
        return not self.marked and self._change(speaking)

    def mark(self, starts: bool) -> bool:
        """Note the caller's mark; return True if this took or gave up the floor."""
        return self.marked and self._change(starts)

    def _change(self, taken: bool) -> bool:
        changed = taken != self.taken
        self.taken = taken
        return changed
