"""The names that an agent's file imports: `from agent import Agent, tool, CallContext`. See docs/agents.md.

They are loaded on first use, because some processes, such as the emulator's, do not need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.author.agent import Agent
    from agent.errors import ToolError
    from agent.picture import Picture
    from agent.spoken import Spoken
    from agent.summary import CallSummarised
    from agent.tools.context import CallContext
    from agent.tools.declare import Tool
    from agent.tools.function import tool
    from agent.tools.mcp import McpServer
    from agent.tools.scheduled import Scheduled

__all__ = [
    "Agent",
    "CallContext",
    "CallSummarised",
    "McpServer",
    "Picture",
    "Scheduled",
    "Spoken",
    "Tool",
    "ToolError",
    "tool",
]

_HOME = {
    "Agent": "agent.author.agent",
    "CallContext": "agent.tools.context",
    "CallSummarised": "agent.summary",
    "McpServer": "agent.tools.mcp",
    "Picture": "agent.picture",
    "Scheduled": "agent.tools.scheduled",
    "Spoken": "agent.spoken",
    "Tool": "agent.tools.declare",
    "ToolError": "agent.errors",
    "tool": "agent.tools.function",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
