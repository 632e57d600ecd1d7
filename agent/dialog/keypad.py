"""Gathers the keys that the caller presses on a telephone into entries for the model. Pure.

The model is told once per entry, not once per key: an entry ends with ``#`` or after a pause.
"""

from __future__ import annotations

ENTRY_PAUSE_S = 2.0
MAX_KEYS = 64  # per entry, and in the call's state: a stuck key must not fill the memory


class Keypad:
    """One call's keypad."""

    def __init__(self) -> None:
        self.pressed = ""
        "The call's latest keys, in order. They may be a PIN."
        self._entry = ""

    def press(self, key: str) -> str | None:
        """Take a key.

        Returns:
            The entry if it is complete; otherwise call `pause` after `ENTRY_PAUSE_S` without a key.
        """
        self.pressed = (self.pressed + key)[-MAX_KEYS:]
        self._entry += key
        return self.pause() if key == "#" or len(self._entry) >= MAX_KEYS else None

    def pause(self) -> str | None:
        """Return the entry that the pause has ended; None if there is none."""
        entry, self._entry = self._entry, ""
        return entry or None
