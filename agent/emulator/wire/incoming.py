"""What a client of the Live API sends, as values. Pure.

The names are those of the API's ``BidiGenerateContentClientMessage`` and what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
History: TypeAlias = tuple[tuple[str, str], ...]
"""(role, text) of each turn, oldest first; the roles are ``user`` and ``model``."""


@dataclass(frozen=True)
class Detection:
    """How speech is found: ``automaticActivityDetection``. Google does not publish its own defaults."""

    start_ms: int = 200
    """How much voice it takes to start: ``prefixPaddingMs``."""
    start_readily: bool = True
    """``startOfSpeechSensitivity``; with LOW the voice has to stand out more from the noise."""
    silence_ms: int = 500
    """How long the caller has to be silent before speech ends: ``silenceDurationMs``."""


DEFAULT_DETECTION = Detection()
LOW_END_SENSITIVITY_SILENCE_MS = 800
"""``silenceDurationMs`` where ``endOfSpeechSensitivity`` is LOW and the client does not set it."""


@dataclass(frozen=True)
class Setup:
    """The session was configured."""

    model: str
    """The model's resource name, not empty."""
    modality: str
    """``AUDIO`` or ``TEXT``."""
    functions: Mapping[str, bool]
    """The declared functions; True if the model goes on talking while the call runs."""
    detection: Detection
    manual_activity: bool
    """The client marks speech itself; the server's detector is off."""
    barge_in: bool
    """New activity interrupts the model."""
    transcribe_input: bool
    transcribe_output: bool
    resumable: bool
    """The client asked for handles."""
    handle: str | None
    """The handle to resume from."""
    begins_with_history: bool
    """The first client_content is the history and asks nothing."""
    raw: Json = field(repr=False)
    """The whole setup, with regular keys."""
    instruction: str = field(default="", repr=False)
    """The system instruction."""


@dataclass(frozen=True)
class Audio:
    """A chunk of the caller's sound: int16 little-endian, mono, at ``rate_hz``."""

    pcm: bytes
    rate_hz: int


@dataclass(frozen=True)
class Picture:
    """A video frame, as an encoded image."""

    data: bytes
    mime: str


@dataclass(frozen=True)
class Text:
    """Typed text on the real-time path."""

    text: str


@dataclass(frozen=True)
class ActivityStarted:
    """The client says that the caller began to speak."""


@dataclass(frozen=True)
class ActivityEnded:
    """The client says that the caller stopped speaking."""


@dataclass(frozen=True)
class AudioStreamEnded:
    """The client closed its microphone for now."""


@dataclass(frozen=True)
class Content:
    """Turns to add to the history."""

    turns: History
    """The turns' texts; their pictures are in ``pictures``."""
    turn_complete: bool
    """The model is to answer."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class FunctionResult:
    """The answer to one function call, or a report of its progress."""

    id: str
    name: str
    response: Json
    will_continue: bool = False
    scheduling: str = "WHEN_IDLE"
    """INTERRUPT, WHEN_IDLE or SILENT; matters only for a call that the turn does not wait for."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class ToolResponse:
    """Answers to function calls."""

    results: tuple[FunctionResult, ...]


@dataclass(frozen=True)
class ContextUpdate:
    """A change of the system instruction or the tools."""

    functions: Mapping[str, bool] | None
    """The new declarations; None keeps the old ones."""
    instruction: str | None = None
    """The new system instruction; None keeps the old one."""


ClientMessage: TypeAlias = (
    Setup
    | Audio
    | Picture
    | Text
    | ActivityStarted
    | ActivityEnded
    | AudioStreamEnded
    | Content
    | ToolResponse
    | ContextUpdate
)
