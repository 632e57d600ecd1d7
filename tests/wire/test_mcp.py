"""A real MCP server, as a process of its own, over the official SDK."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from agent import McpServer
from agent.errors import ConfigError, ToolError
from agent.tools.declare import Tool
from agent.tools.mcp import mcp_tools

pytest.importorskip("mcp", reason="needs the extra `mcp`")

SERVER = str(Path(__file__).parent.parent / "data" / "mcp_server.py")
COMMAND = (sys.executable, SERVER)


def by_name(tools: list[Tool]) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools}


async def test_its_tools_are_declared_and_called() -> None:
    async with mcp_tools([McpServer(command=COMMAND, behavior="BLOCKING")]) as tools:
        assert list(by_name(tools)) == ["add", "refuse", "process_id", "die"]
        add = by_name(tools)["add"]
        assert add.declaration() == {
            "name": "add",
            "description": "Add two numbers.",
            "behavior": "BLOCKING",
            "parameters_json_schema": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "required": ["a", "b"],
            },
        }
        assert await add.function(a=12, b=30) == {"result": 42}
        with pytest.raises(ToolError):
            await by_name(tools)["refuse"].function(why="no")
        with pytest.raises(ToolError):
            await add.function(a="many")


async def test_bytes_that_are_no_text_are_read_all_the_same() -> None:
    command = (sys.executable, str(Path(SERVER).with_name("mcp_bytes_server.py")))
    async with mcp_tools([McpServer(command=command)]) as tools:
        (read,) = tools
        assert read.declaration()["description"] == "Read \ufffd."
        assert await read.function() == "\ufffd"


async def test_many_calls_at_once() -> None:
    async with mcp_tools([McpServer(command=COMMAND, only=["add"])]) as tools:
        (add,) = tools
        sums = await asyncio.gather(*(add.function(a=n, b=1) for n in range(20)))
        assert sums == [{"result": n + 1} for n in range(20)]


async def test_a_server_that_ends_is_started_again() -> None:
    async with mcp_tools([McpServer(command=COMMAND)]) as tools:
        named = by_name(tools)
        first = await named["process_id"].function()
        with pytest.raises(ToolError):
            await named["die"].function()
        second = await named["process_id"].function()
        assert first != second


async def test_a_call_that_is_given_up_leaves_the_server_usable() -> None:
    async with mcp_tools([McpServer(command=COMMAND, only=["add"])]) as tools:
        (add,) = tools
        call = asyncio.create_task(add.function(a=1, b=1))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await add.function(a=1, b=2) == {"result": 3}


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (McpServer(command=["there-is-no-such-program"]), "there-is-no-such-program"),
        (McpServer(command=[*COMMAND, "--broken"]), "--broken"),
        (McpServer(command=COMMAND, only=["subtract"]), "no tool called subtract"),
        (McpServer(command=[]), "command"),
    ],
)
async def test_a_server_that_cannot_be_used_is_named(server: McpServer, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with mcp_tools([server]):
            pass
