"""The agent that an agent's file defines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.author.extract import summary_wish
from agent.author.hooks import Hook, Hooks
from agent.errors import ConfigError
from agent.settings import Settings
from agent.summary import SummaryWish
from agent.tools.declare import Tool
from agent.tools.function import as_tool
from agent.tools.mcp import McpServer
from agent.unicode import valid_text


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The definition of an agent.

    Attributes:
        instructions: its system instruction; None means the setting `system_instruction`.
        voice: a prebuilt voice; None means the setting `voice`.
        greeting: what it says first, once the caller can hear it; None lets the caller begin.
        record: whether its calls are recorded; None means the setting `record`.
        tools: functions that the model may call; `tool` adds options to one.
        mcp_servers: programs whose tools the model may call too.
        on_call_started: called with the call, a `CallContext`, when it begins. This and the other hooks are plain
            or async functions, and run alongside the call.
        on_call_ended: called with the call and its `agent.events.CallEnded`.
        on_transcript: called with the call and each final turn of either side, a `Spoken`.
        on_event: called with the call and each event in it, see `agent.events`.
        summary: whether a model summarises each call that is over: the name of that model, or True for the setting
            `summary_model`.
        extract: what that model extracts from the call: a pydantic model, or a JSON schema of an object.
        on_call_summarised: called with the call and its `CallSummarised`, after `on_call_ended`.
    """

    instructions: str | None = None
    voice: str | None = None
    greeting: str | None = None
    record: bool | None = None
    tools: Sequence[Tool | Callable[..., Any]] = ()
    mcp_servers: Sequence[McpServer] = ()
    on_call_started: Hook | None = None
    on_call_ended: Hook | None = None
    on_transcript: Hook | None = None
    on_event: Hook | None = None
    summary: bool | str = False
    extract: Any = None
    on_call_summarised: Hook | None = None

    def hooks(self) -> Hooks:
        """Return its hooks.

        Raises:
            ConfigError: a hook does not take the arguments that it is called with; the message names it.
        """
        hooks = Hooks(
            self.on_call_started, self.on_call_ended, self.on_transcript, self.on_event, self.on_call_summarised
        )
        hooks.check()
        return hooks

    def summary_wish(self) -> SummaryWish | None:
        """Return what it wants to know about each call that is over; None if nothing.

        Raises:
            ConfigError: the schema cannot be used, or `on_call_summarised` is set although nothing is asked for.
        """
        wish = summary_wish(self.summary, self.extract)
        if wish is None and self.on_call_summarised is not None:
            raise ConfigError("Agent(on_call_summarised=...): nothing is asked for; set summary=True or extract")
        return wish

    def declared_tools(self) -> list[Tool]:
        """Return its tools, in order.

        Raises:
            ConfigError: a function cannot be a tool; the message names file, function and reason.
        """
        return declared(self.tools)

    def settings(self, general: Settings) -> Settings:
        """Return the service's settings, overridden by this agent's own."""
        instructions = None if self.instructions is None else valid_text(self.instructions)
        own = {"system_instruction": instructions, "voice": self.voice, "record": self.record}
        return general.of_agent({name: value for name, value in own.items() if value is not None})


def declared(tools: Sequence[Tool | Callable[..., Any]]) -> list[Tool]:
    """Return the tools with everything that the model needs to know about them.

    Raises:
        ConfigError: a function cannot be a tool; the message names file, function and reason.
    """
    if callable(tools):
        raise ConfigError("Agent(tools=...): give a list of functions, not a single function")
    return [tool if isinstance(tool, Tool) else as_tool(tool) for tool in tools]


def check_names(tools: Sequence[Tool]) -> None:
    """Refuse two tools with the same name.

    Raises:
        ConfigError: a name occurs twice.
    """
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ConfigError(f"there are two tools called {tool.name}; the model could not tell them apart")
        seen.add(tool.name)
