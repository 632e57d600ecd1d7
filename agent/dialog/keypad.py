"""What the caller enters on a telephone's keypad, gathered into what the model is told. Pure.

The model is told once per entry, not once per key: an entry ends with ``#`` or after a pause.
"""

from __future__ import annotations

ENTRY_PAUSE_S = 2.0
MAX_KEYS = 64  # of an entry, and of the call's state: a key that sticks fills no memory


class Keypad:
    """One call's keypad."""

    def __init__(self) -> None:
        self.pressed = ""
        "The latest keys of the call, in order. They may be a PIN."
        self._entry = ""

    def press(self, key: str) -> str | None:
        """Take a key.

        Returns:
            The entry if it is complete; else `pause` is to be called after `ENTRY_PAUSE_S` without a key.
        """
        self.pressed = (self.pressed + key)[-MAX_KEYS:]
        self._entry += key
        return self.pause() if key == "#" or len(self._entry) >= MAX_KEYS else None

    def pause(self) -> str | None:
        """Return the entry that has ended, None if there is none."""
        entry, self._entry = self._entry, ""
        return entry or None
