"""Whether the caller has the floor: by the level of their voice, or by their own word. Pure.

Rules:
  1. Usually the level of the caller's voice says so. It gates nothing: the Live server finds the turns itself.
  2. Where the Live server's detector is off, only the caller's marks say so (push-to-talk), and no level.
"""

from __future__ import annotations


class Floor:
    """The caller's floor.

    Args:
        marked: rule 2 holds.
    """

    def __init__(self, *, marked: bool) -> None:
        self.marked = marked
        self.taken = False
        "True while the caller has it."

    def level(self, speaking: bool) -> bool:
        """Take note of the level; return True if the floor was taken or given up by it."""
        return not self.marked and self._change(speaking)

    def mark(self, starts: bool) -> bool:
        """Take note of the caller's mark; return True if the floor was taken or given up by it."""
        return self.marked and self._change(starts)

    def _change(self, taken: bool) -> bool:
        changed = taken != self.taken
        self.taken = taken
        return changed
