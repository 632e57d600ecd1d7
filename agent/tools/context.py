"""The call that a tool runs in, as the tool sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn of the transcript.

    Attributes:
        speaker: whose turn it was.
        text: what was said; of an interrupted agent, what was heard.
    """

    speaker: Literal["caller", "agent"]
    text: str = field(repr=False)


class CallContext(Protocol):
    """Handed to a tool that has a parameter of this type; the model does not see that parameter.

    Its methods may be used from any thread, do not wait, and do nothing once the call is over.
    """

    @property
    def call_id(self) -> str:
        """Names the call in logs and URLs."""

    @property
    def caller(self) -> str | None:
        """Who calls, as far as that is known: a phone number, for instance. Untrusted."""

    @property
    def transcript(self) -> tuple[Spoken, ...]:
        """What was said, oldest first, when the tool was called."""

    def say(self, text: str) -> None:
        """Have the agent say this to the caller now; the model may change a word."""

    def send_event(self, name: str, data: Any = None) -> None:
        """Send something to the caller's page or app.

        Args:
            name: what it is.
            data: what JSON can hold.

        Raises:
            ToolError: it is too long.
            ValueError: JSON cannot hold it.
        """

    def end_call(self) -> None:
        """Hang up, once the agent has finished speaking."""

    def progress(self, value: Any) -> None:
        """Tell the model how far the tool is; it may speak of it. Not more often than once a second.

        Only of a tool whose behavior is ``NON_BLOCKING``; of others the model waits for the answer alone.

        Args:
            value: what JSON can hold.

        Raises:
            ToolError: it is too long.
            ValueError: JSON cannot hold it.
        """
