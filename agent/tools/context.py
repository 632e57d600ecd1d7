"""The call that a tool runs in, as the tool sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from agent.spoken import Spoken
from agent.tools.declare import Tool


class CallContext(Protocol):
    """Handed to a tool that has a parameter of this type; the model does not see that parameter.

    Its methods may be used from any thread, do not wait, and do nothing once the call is over. What tells the model
    or the caller something raises `ToolError` if the text is too long, or if all tools and hooks of the call
    together tell too much (`agent.call.tool_calls`): left alone, it ends the tool with that error.
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

    def add_to_context(
        self, text: str, role: Literal["user", "assistant", "system"] = "system", *, run_immediately: bool = False
    ) -> None:
        """Have the model know something that the caller is not shown.

        Args:
            text: what it is.
            role: whose words they are: the caller's, the agent's own, or nobody's.
            run_immediately: the agent is to answer now.
        """

    def change_agent(
        self, instructions: str | None = None, tools: Sequence[Tool | Callable[..., Any]] | None = None
    ) -> None:
        """Have another agent take the call over, with the same voice.

        Args:
            instructions: what it is told to be; None leaves it.
            tools: what it may call, in place of all that it could; None leaves them.

        Raises:
            ConfigError: a function cannot be a tool.
        """

    def picture(self, source: Literal["camera", "screen"] | None = None) -> bytes | None:
        """Return what the caller shows at the moment, as JPEG; None if that source, or every one, is off."""

    def end_call(self) -> None:
        """Hang up, once the agent has finished speaking."""

    def progress(self, value: Any) -> None:
        """Tell the model how far the tool is; it may speak of it. Not more often than once a second.

        Only of a tool whose behavior is ``NON_BLOCKING``; of others the model waits for the answer alone.

        Args:
            value: what JSON can hold; in a `Scheduled`, if the model is to speak of it at another time.

        Raises:
            ToolError: it is too long.
            ValueError: JSON cannot hold it.
        """
