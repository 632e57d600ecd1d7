"""One turn of the model: what it answers, and what its reply is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from agent.emulator.model.pcm import Pcm
from agent.emulator.wire.incoming import FunctionResult, Json
from agent.emulator.wire.outgoing import ServerMessage


@dataclass(frozen=True)
class Turn:
    """The caller finished a turn, or a function that the model was waiting for was answered."""

    wall: datetime
    """The time of day."""
    text: str | None = None
    """The caller's words; None if speech could not be transcribed."""
    voice_s: float = 0.0
    """How long the caller spoke; 0 for typed text."""
    functions: Mapping[str, bool] = field(default_factory=dict)
    """What the client declared; True for functions that do not block."""
    pictures: int = 0
    """How many pictures have arrived in this session."""
    picture_size: tuple[int, int] | None = None
    """Width and height of the newest picture in pixels; None if it could not be read."""
    results: tuple[FunctionResult, ...] = ()
    """Answers to function calls; the caller said nothing then."""
    unanswered: bool = False
    """The function calls were not answered in time; the caller said nothing then."""


@dataclass(frozen=True)
class Say:
    """Speak this; write it in a TEXT session."""

    text: str


@dataclass(frozen=True)
class CallFunction:
    """Ask the client to run a function."""

    name: str
    args: Json
    alone: bool = False
    """Do not send it in one message with the call that follows."""


@dataclass(frozen=True)
class Play:
    """Send this sound as the model's speech: int16, shape ``(samples,)``, mono, 24 kHz."""

    pcm: Pcm


@dataclass(frozen=True)
class Raw:
    """Send exactly this message; for scripts in tests."""

    message: ServerMessage


Part: TypeAlias = Say | CallFunction | Play | Raw
Reply: TypeAlias = tuple[Part, ...]
OnTurn: TypeAlias = Callable[[Turn], Reply | None]
"""A script that answers in place of the demo model; None leaves the turn to the model."""
