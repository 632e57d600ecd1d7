"""Tools of other programs, over the Model Context Protocol: they stand beside the functions of an agent's file.

Tasks: one per server, owned by its link; it holds the connection and ends with `mcp_tools`, or once the server has
ended, which the next call of one of its tools starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, ToolError
from agent.tools.declare import DEFAULT_TIMEOUT_S, Behavior, Scheduling, Tool
from agent.tools.function import TOOL_NAME
from agent.tools.schema import RecursiveSchemaError, plain_schema

if TYPE_CHECKING:
    import mcp

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
MAX_PAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A program that offers tools over its standard input and output.

    Attributes:
        command: the program and its arguments.
        env: variables that it gets besides PATH, HOME and the like.
        only: the tools that the model may call; None for all.
        timeout_s: seconds that one call may take.
        behavior: see `Tool`.
        scheduling: see `Tool`.
    """

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    only: Sequence[str] | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    behavior: Behavior | None = None
    scheduling: Scheduling | None = None


@asynccontextmanager
async def mcp_tools(servers: Sequence[McpServer]) -> AsyncIterator[list[Tool]]:
    """Start the servers; they serve all calls, and end with this context.

    Raises:
        ConfigError: one does not start, or has a tool that cannot be used.
    """
    async with AsyncExitStack() as stack:
        tools: list[Tool] = []
        for server in servers:
            link = _Link(server)
            stack.push_async_callback(link.close)
            try:
                tools += await link.tools()
            except ToolError as error:
                raise ConfigError(f"MCP server {link.name}: {error}") from error
        yield tools


class _Link:
    """The connection to one server."""

    def __init__(self, server: McpServer) -> None:
        if not server.command:
            raise ConfigError("an MCP server wants a command: McpServer(command=['program', 'argument'])")
        try:
            import mcp  # the extra; it takes half a second
        except ImportError:
            raise ConfigError(
                "mcp_servers need the extra `mcp`: pip install '.[mcp]' in talkspurt's own folder"
            ) from None
        self.name = " ".join(server.command)
        self._mcp = mcp
        self._server = server
        self._starting = asyncio.Lock()
        self._client: mcp.Client | None = None
        self._holder: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def tools(self) -> list[Tool]:
        """Start the server and ask what it offers.

        Raises:
            ToolError: it does not start.
            ConfigError: a tool cannot be used.
        """
        client = await self._connected()
        offered: list[mcp.Tool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            async with asyncio.timeout(START_TIMEOUT_S):
                page = await client.list_tools(cursor=cursor)
            offered += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        wanted = self._server.only
        missing = sorted(set(wanted or ()) - {tool.name for tool in offered})
        if missing:
            raise ConfigError(f"MCP server {self.name}: it has no tool called {', '.join(missing)}")
        return [self._tool(tool) for tool in offered if wanted is None or tool.name in wanted]

    async def close(self) -> None:
        """End the server."""
        self._stop.set()
        if self._holder is not None and (await asyncio.wait([self._holder], timeout=STOP_TIMEOUT_S))[1]:
            logger.warning("MCP server %s does not end; it is given up", self.name)
            self._holder.cancel()

    def _tool(self, offered: mcp.Tool) -> Tool:
        name = offered.name
        if not TOOL_NAME.fullmatch(name):
            raise ConfigError(f"MCP server {self.name}: {name!r} is no name that the model could call")
        try:
            parameters = plain_schema(offered.input_schema)
        except RecursiveSchemaError as error:
            raise ConfigError(f"MCP server {self.name}: {name}: {error}; leave it out with only=[...]") from error

        async def call(**arguments: Any) -> Any:
            return await self._call(name, arguments)

        server = self._server
        return Tool(
            name,
            offered.description or name.replace("_", " "),
            parameters,
            call,
            server.timeout_s,
            server.behavior,
            server.scheduling,
        )

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        client = await self._connected()
        try:
            result = await client.call_tool(name, arguments)
        except self._mcp.MCPError as error:
            if error.code == self._mcp.types.CONNECTION_CLOSED and self._client is client:
                logger.warning("MCP server %s has ended; the next call starts it again", self.name)
                self._client = None
                self._stop.set()
            raise ToolError(f"{name} failed: {error.message}") from error
        text = "\n".join(item.text if item.type == "text" else f"({item.type})" for item in result.content)
        if result.is_error:
            raise ToolError(text or f"{name} failed")
        return text if result.structured_content is None else result.structured_content

    async def _connected(self) -> mcp.Client:
        async with self._starting:
            if self._client is None:
                self._client = await self._start()
            return self._client

    async def _start(self) -> mcp.Client:
        self._stop = asyncio.Event()
        ready: asyncio.Future[mcp.Client] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(ready, self._stop), name="mcp")
        waiting: set[asyncio.Future[Any]] = {ready, self._holder}
        try:
            await asyncio.wait(waiting, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the tool that wanted it took too long
            self._holder.cancel()
            raise
        if ready.done():
            return ready.result()
        if not self._holder.done():
            self._holder.cancel()
            raise ToolError(f"it did not start within {START_TIMEOUT_S:g} s")
        error = self._holder.exception()
        raise ToolError(f"it did not start: {error or 'it ended'}") from error

    async def _hold(self, ready: asyncio.Future[mcp.Client], stop: asyncio.Event) -> None:
        """Ends when told to stop; the SDK wants the connection closed by the task that opened it."""
        command, *arguments = self._server.command
        parameters = self._mcp.StdioServerParameters(
            command=command, args=arguments, env=dict(self._server.env) or None
        )
        async with self._mcp.Client(parameters) as client:
            ready.set_result(client)
            await stop.wait()
