"""What a session's model has taken in so far: its tools, its pictures, and how many tokens they come to."""

from __future__ import annotations

from collections.abc import Mapping

from agent.emulator.model.picture import picture_size
from agent.emulator.wire.incoming import Picture

TOKENS_PER_AUDIO_S = 25
_TOKENS_PER_PICTURE = 258
_CHARS_PER_TOKEN = 4


class Context:
    """One session's context. Token counts are estimates: nobody is billed for them."""

    def __init__(self, functions: Mapping[str, bool]) -> None:
        self.functions = functions
        """The declared functions; True for those that do not block."""
        self.pictures = 0
        """How many pictures have arrived in this session."""
        self.picture_size: tuple[int, int] | None = None
        """Width and height of the newest picture in pixels; None if it could not be read."""
        self._tokens: dict[str, int] = {"TEXT": 0, "AUDIO": 0, "IMAGE": 0}
        self._audio_s = 0.0

    @property
    def tokens(self) -> dict[str, int]:
        """By modality."""
        return self._tokens | {"AUDIO": self._tokens["AUDIO"] + round(self._audio_s * TOKENS_PER_AUDIO_S)}

    def restore(self, tokens: Mapping[str, int]) -> None:
        """Go on from the context that a handle stands for."""
        self._tokens = dict(tokens)

    def add_text(self, text: str) -> None:
        self._tokens["TEXT"] += 1 + len(text) // _CHARS_PER_TOKEN

    def add_audio(self, seconds: float) -> None:
        self._audio_s += seconds

    def add_picture(self, picture: Picture) -> None:
        self.pictures += 1
        self.picture_size = picture_size(picture.data)
        self._tokens["IMAGE"] += _TOKENS_PER_PICTURE
