"""A call, as the tools and hooks that run in it see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from agent.spoken import Spoken
from agent.tools.declare import Tool


class CallContext(Protocol):
    """Passed to a tool that has a parameter of this type; the model does not see that parameter.

    Its methods may be used from any thread, do not wait, and do nothing once the call is over. Those that tell the
    model or the caller something raise `ToolError` if the text is too long, or if all tools and hooks of the call
    together tell too much (`agent.call.tool_calls`). If the tool does not catch it, the tool ends with that error.
    """

    @property
    def call_id(self) -> str:
        """The call's id in logs and URLs."""

    @property
    def caller(self) -> str | None:
        """Who is calling, if known, for example a phone number. Untrusted."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the application's backend said about the caller when it made the client secret; empty if nothing."""

    @property
    def transcript(self) -> tuple[Spoken, ...]:
        """What had been said, oldest first, when the tool was called."""

    def say(self, text: str) -> None:
        """Have the agent say this to the caller now; the model may change the wording slightly."""

    def send_event(self, name: str, data: Any = None) -> None:
        """Send something to the caller's page or app.

        Args:
            name: the event's name.
            data: anything that can be written as JSON.

        Raises:
            ToolError: it is too long.
            ValueError: it cannot be written as JSON.
        """

    def add_to_context(
        self, text: str, role: Literal["user", "assistant", "system"] = "system", *, run_immediately: bool = False
    ) -> None:
        """Tell the model something that the caller is not shown.

        Args:
            text: what to tell it.
            role: whose words they are: the caller's, the agent's own, or nobody's.
            run_immediately: whether the agent answers at once.
        """

    def change_agent(
        self, instructions: str | None = None, tools: Sequence[Tool | Callable[..., Any]] | None = None
    ) -> None:
        """Hand the call over to another agent, with the same voice.

        Args:
            instructions: its system instruction; None keeps the present one.
            tools: the tools it may call instead of the present ones; None keeps those.

        Raises:
            ConfigError: a function cannot be a tool.
        """

    def picture(self, source: Literal["camera", "screen"] | None = None) -> bytes | None:
        """Return what the caller is showing, as JPEG; None if that source is off, or without one, if both are."""

    def end_call(self) -> None:
        """Hang up once the agent has finished speaking."""

    def pause_recording(self) -> None:
        """Record nothing of what either side says from now on, such as a card number; see docs/recording.md."""

    def resume_recording(self) -> None:
        """Record again."""

    def progress(self, value: Any) -> None:
        """Tell the model how far the tool has got, at most once a second; it may mention it to the caller.

        It only works in tools whose behavior is ``NON_BLOCKING``; for others the model waits for the final answer.

        Args:
            value: anything that can be written as JSON; put it in a `Scheduled` to change when the model speaks of
                it.

        Raises:
            ToolError: it is too long.
            ValueError: it cannot be written as JSON.
        """
