"""What follows from a fact of the conversation: events to be told, and actions for the call to carry out."""

from __future__ import annotations

from dataclasses import dataclass

from agent import events


@dataclass(frozen=True, slots=True)
class Flush:
    """Throw away what is queued of the agent's voice, and tell `Conversation.flushed` at once what that was.

    Attributes:
        generation: what arrives late of this one is refused.
    """

    generation: int


@dataclass(frozen=True, slots=True)
class TellWaiting:
    """Tell the model that the caller waits for an answer.

    Attributes:
        nudge: in these words.
    """

    nudge: str


@dataclass(frozen=True, slots=True)
class ReplaceSession:
    """Have another Live session take over: the model of this one does not answer.

    Attributes:
        rebuild: begin afresh instead of resuming.
        nudge: what the new one is told of the caller; None for nothing.
    """

    rebuild: bool
    nudge: str | None


@dataclass(frozen=True, slots=True)
class AnswerCompleted:
    """The model has given a whole answer: should the session be lost now, no other one is to give it again."""


Outcome = events.Event | Flush | TellWaiting | ReplaceSession | AnswerCompleted
Outcomes = list[Outcome]
