"""What an emulator needs of something that recognises speech."""

from __future__ import annotations

from typing import Protocol

from agent.emulator.model.pcm import Pcm


class Listening(Protocol):
    """One stretch of a caller's speech."""

    def add(self, pcm: Pcm) -> None:
        """Take what is said: int16, shape ``(samples,)``, mono, 16 kHz."""

    def paused(self) -> None:
        """The caller may have finished."""

    async def words(self) -> str | None:
        """What was said; empty if there are no words in it, None if that is not known."""

    def forget(self) -> None:
        """Nobody will ask for the words."""


class Recogniser(Protocol):
    """Turns what callers say into words."""

    def prepare(self) -> None:
        """Load what the first caller would otherwise wait for."""

    def begin(self) -> Listening:
        """A caller begins to speak."""

    def close(self) -> None: ...
