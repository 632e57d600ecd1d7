"""What a client of OpenAI's Realtime API can ask for, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.picture import Picture
from signaling.dialects.openai.session import SessionWish


class RefusalError(Exception):
    """A client's event cannot be carried out.

    Args:
        code: a short machine-readable word.
        words: one sentence for the client's developer.
        param: the field that is wrong.
    """

    def __init__(self, code: str, words: str, param: str | None = None) -> None:
        super().__init__(words)
        self.code, self.words, self.param = code, words, param


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """Change the session."""

    wish: SessionWish


@dataclass(frozen=True, slots=True)
class CreateMessage:
    """Add something that somebody said or wrote.

    Attributes:
        item_id: the id that the client wants for it; None for any.
        role: whose words they are.
        text: the words.
        pictures: what they are about.
        content: as the client gave it, without pictures.
    """

    item_id: str | None
    role: Literal["user", "assistant", "system"]
    text: str = field(repr=False)
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    content: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class CreateOutput:
    """Answer a call of one of the client's functions."""

    item_id: str | None
    call_id: str
    output: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Cut what the agent said."""

    item_id: str


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Forget something."""

    item_id: str


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    """Tell an item again."""

    item_id: str


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Have the agent speak, with instructions for this time only or without."""

    instructions: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop the agent; ``response_id`` is None for whatever it is saying."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClearOutput:
    """Silence the agent."""


@dataclass(frozen=True, slots=True)
class ClearInput:
    """The caller begins to speak, where only the client knows when."""


@dataclass(frozen=True, slots=True)
class CommitInput:
    """The caller has spoken, where only the client knows when."""


Command = (
    UpdateSession
    | CreateMessage
    | CreateOutput
    | TruncateItem
    | DeleteItem
    | RetrieveItem
    | CreateResponse
    | CancelResponse
    | ClearOutput
    | ClearInput
    | CommitInput
)
