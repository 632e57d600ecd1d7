"""What happened in a call, as frozen facts in the past tense.

A call hands each event to its observers (the client's dialect, the log, the record) in the order in
which it happened. Samples are those of the agent's voice: mono, 24 kHz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["caller", "agent", "operator", "live", "network"]
"""Whose doing the end of a call was; ``operator`` is a setting, a key or a shutdown, ``live`` the Live server."""


@dataclass(frozen=True, slots=True)
class AgentReady:
    """The Live session was set up; what the caller says from now on is heard at once."""

    model: str
    "The model's name."
    offline_demo: bool
    "True if the model is the local emulator."


@dataclass(frozen=True, slots=True)
class CallerStartedSpeaking:
    """The caller's voice rose above the noise (by level; it gates nothing)."""


@dataclass(frozen=True, slots=True)
class CallerStoppedSpeaking:
    """The caller has been quiet for the level meter's hangover."""


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """Words of the caller were recognised, or typed."""

    turn_id: str
    "Stable over all revisions of one turn."
    revision: int
    "Counts up from 1 within the turn."
    text: str
    "The turn's whole text so far; replaces the earlier revision."
    final: bool
    "True once per turn: no revision follows."
    typed: bool = False
    "True if the caller typed it."


@dataclass(frozen=True, slots=True)
class AgentTranscribed:
    """Words of the agent arrived; they may not have been heard yet."""

    turn_id: str
    "Stable over all revisions of one turn."
    revision: int
    "Counts up from 1 within the turn."
    text: str
    "The turn's whole text so far; after an interruption, what was heard of it."
    final: bool
    "True once per turn: no revision follows."
    interrupted: bool = False
    "True on the final revision of a turn that the caller interrupted."
    unheard_text: str = ""
    "What was generated in an interrupted turn but not heard."


@dataclass(frozen=True, slots=True)
class AgentStartedSpeaking:
    """The first sample of a talkspurt of the agent was sent to the caller."""

    generation: int
    "The generation it belongs to."


@dataclass(frozen=True, slots=True)
class AgentStoppedSpeaking:
    """The last queued sample of the agent was sent, or the queue was flushed."""

    generation: int
    "The generation it belongs to."


@dataclass(frozen=True, slots=True)
class AgentInterrupted:
    """The agent's generation was cut off; its queued speech was flushed."""

    generation: int
    "The generation that was cut off."
    heard_samples: int
    "Samples of it that were really sent."
    dropped_samples: int
    "Samples of it that were flushed or refused so far."


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """The model's first output of a generation arrived."""

    generation: int
    "Its number, counting up from 1."


@dataclass(frozen=True, slots=True)
class GenerationCompleted:
    """The model finished generating; the voice may still be playing."""

    generation: int
    "The generation that is complete."


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The model's turn ended and it waits for the caller."""

    generation: int
    "The generation that made up the turn."
    reason: str | None
    "The server's ``turnCompleteReason``, if it gave one."


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model called a tool."""

    call_id: str
    "The model's id of this tool call."
    name: str
    "The tool's name."
    arguments: Mapping[str, Any] = field(repr=False)
    "As the model gave them: untrusted."


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call was answered or cancelled."""

    call_id: str
    "The model's id of this tool call."
    name: str
    "The tool's name."
    outcome: Literal["result", "error", "timeout", "cancelled"]
    "How it ended."
    result: Any = field(default=None, repr=False)
    "What the model was told."


@dataclass(frozen=True, slots=True)
class PictureSent:
    """A picture of what the caller shows was sent to the model."""

    source: str
    "``camera`` or ``screen``."
    width: int
    "In pixels, as sent."
    height: int
    "In pixels, as sent."
    bytes: int
    "Length of the JPEG."


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key of the telephone. It may be part of a PIN: not for logs."""

    key: str = field(repr=False)
    "One of ``0123456789*#ABCD``."


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over; nothing follows."""

    reason: str
    "A short word: ``hung_up``, ``ice_lost``, ``live_refused``, ``live_lost``, ``shutdown`` and so on."
    detail: str
    "One sentence for a person."
    fault: Fault
    "Whose doing it was."

    @property
    def is_error(self) -> bool:
        """True unless somebody simply hung up."""
        return self.reason not in ("hung_up", "caller_left")


Event = (
    AgentReady
    | CallerStartedSpeaking
    | CallerStoppedSpeaking
    | CallerTranscribed
    | AgentTranscribed
    | AgentStartedSpeaking
    | AgentStoppedSpeaking
    | AgentInterrupted
    | GenerationStarted
    | GenerationCompleted
    | TurnCompleted
    | ToolCalled
    | ToolFinished
    | PictureSent
    | KeyPressed
    | CallEnded
)
