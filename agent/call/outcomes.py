"""What follows from a fact of the conversation: events to tell, and actions for the call to carry out."""

from __future__ import annotations

from dataclasses import dataclass

from agent import events


@dataclass(frozen=True, slots=True)
class Flush:
    """Discard the queued speech of the agent, and report it at once to `Conversation.flushed`.

    Attributes:
        generation: further speech of this generation is refused.
    """

    generation: int


@dataclass(frozen=True, slots=True)
class TellWaiting:
    """Tell the model that the caller waits for an answer.

    Attributes:
        nudge: the text to tell it.
    """

    nudge: str


@dataclass(frozen=True, slots=True)
class ReplaceSession:
    """Have another Live session take over, because the model does not answer in this one.

    Attributes:
        rebuild: whether to start a new session from the history instead of resuming this one.
        nudge: the text that tells the new session that the caller is waiting; None for none.
    """

    rebuild: bool
    nudge: str | None


@dataclass(frozen=True, slots=True)
class AnswerCompleted:
    """The model has given a whole answer; if the session is lost now, the next one must not repeat it."""


Outcome = events.Event | Flush | TellWaiting | ReplaceSession | AnswerCompleted
Outcomes = list[Outcome]
