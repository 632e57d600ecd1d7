"""Tools of other programs, over the Model Context Protocol, for use alongside the functions in an agent's file.

Tasks: one per server, owned by its link; it holds the connection and ends with `mcp_tools`, or when the server
ends. The next call of one of its tools starts the server again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, ToolError
from agent.events import ReportLevel
from agent.picture import Picture
from agent.tools.declare import DEFAULT_TIMEOUT_S, TOOL_NAME, Behavior, Scheduling, Tool

if TYPE_CHECKING:
    import mcp

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
MAX_PAGES = 100
MAX_NAME_CHARS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A program that offers tools over its standard input and output.

    Attributes:
        command: the program and its arguments.
        env: environment variables that it gets in addition to PATH, HOME and the like.
        only: the tools that the model may call; None for all.
        timeout_s: seconds that one call may take.
        behavior: see `Tool`.
        scheduling: see `Tool`.
        confirm: the tools that run only after the caller has said yes; True for all of them.
        report: see `Tool`.
        masked: see `Tool`.
    """

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    only: Sequence[str] | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    behavior: Behavior | None = None
    scheduling: Scheduling | None = None
    confirm: bool | Sequence[str] = False
    report: ReportLevel | None = None
    masked: Collection[str] = ()


@asynccontextmanager
async def mcp_tools(servers: Sequence[McpServer], taken: Collection[str] = ()) -> AsyncIterator[list[Tool]]:
    """Start the servers; they serve all calls and end with this context.

    Args:
        servers: the servers to start.
        taken: names that other tools have. A name that the Live API would refuse is changed to an unused one.

    Raises:
        ConfigError: a server does not start, does not list its tools, or has a tool that cannot be used.
    """
    async with AsyncExitStack() as stack:
        tools: list[Tool] = []
        for server in servers:
            link = _Link(server)
            stack.push_async_callback(link.close)
            try:
                tools += await link.tools({*taken, *(tool.name for tool in tools)})
            except ToolError as error:
                raise ConfigError(f"MCP server {link.name}: {error}") from error
        yield tools


class _Link:
    """The connection to one server."""

    def __init__(self, server: McpServer) -> None:
        if not server.command or isinstance(server.command, str):
            raise ConfigError("McpServer(command=...) must be a list, for example ['program', 'argument']")
        if isinstance(server.only, str):
            raise ConfigError("McpServer(only=...) must be a list of names, not one name")
        if isinstance(server.confirm, str):
            raise ConfigError("McpServer(confirm=...) must be True or a list of names, not one name")
        try:
            import mcp  # an extra; importing it takes half a second
        except ImportError:
            raise ConfigError(
                "mcp_servers requires the extra `mcp`: run pip install '.[mcp]' in talkspurt's own folder"
            ) from None
        self.name = " ".join(server.command)
        logging.getLogger("mcp.client.stdio").setLevel(logging.CRITICAL)  # `_MendedStream` logs it in one line
        self._mcp = mcp
        self._errors = (mcp.MCPError, RuntimeError, ValueError, OSError)  # what the SDK raises on bad answers
        self._server = server
        self._starting = asyncio.Lock()
        self._client: mcp.Client | None = None
        self._holder: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def tools(self, taken: Collection[str]) -> list[Tool]:
        """Start the server and return its tools.

        Raises:
            ToolError: it does not start, or does not list its tools.
            ConfigError: a tool cannot be used.
        """
        client = await self._connected()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                offered = await self._list(client)
        except TimeoutError:
            raise ToolError(f"it did not list its tools within {START_TIMEOUT_S:g} s") from None
        except self._errors as error:
            raise ToolError(f"it does not list its tools: {_reason(error)}") from error
        wanted = self._server.only
        confirmed = () if isinstance(self._server.confirm, bool) else self._server.confirm
        missing = sorted({*(wanted or ()), *confirmed} - offered.keys())
        if missing:
            raise ConfigError(f"MCP server {self.name} has no tool called {', '.join(missing)}")
        chosen = [tool for name, tool in offered.items() if wanted is None or name in wanted]
        names = callable_names([tool.name for tool in chosen], taken)
        for name, called in names.items():
            if called != name:
                logger.warning(
                    "MCP server %s: the Live API does not accept the tool name %.100r; the model calls it %s",
                    *(self.name, name, called),
                )
        return [self._tool(tool, names[tool.name]) for tool in chosen]

    async def _list(self, client: mcp.Client) -> dict[str, mcp.Tool]:
        """Return all tools, keyed by name; if a name occurs twice, the first tool is used."""
        offered: dict[str, mcp.Tool] = {}
        cursors: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                offered.setdefault(tool.name, tool)
            cursor = page.next_cursor
            if not cursor:
                return offered
            if cursor in cursors:
                break
            cursors.add(cursor)
        logger.warning("MCP server %s: its list of tools does not end; using the first %d", self.name, len(offered))
        return offered

    async def close(self) -> None:
        """End the server."""
        self._stop.set()
        if self._holder is None:
            return
        if (await asyncio.wait([self._holder], timeout=STOP_TIMEOUT_S))[1]:
            logger.warning("MCP server %s did not stop within %g s; giving up on it", self.name, STOP_TIMEOUT_S)
            self._holder.cancel()
        elif not self._holder.cancelled() and (error := self._holder.exception()) is not None:
            logger.debug("MCP server %s ended with an error: %s", self.name, _reason(error))

    def _tool(self, offered: mcp.Tool, called: str) -> Tool:
        async def call(**arguments: Any) -> Any:
            return await self._call(offered.name, arguments)

        server = self._server
        try:
            return Tool(
                called,
                offered.description or offered.name.replace("_", " "),
                offered.input_schema,
                call,
                server.timeout_s,
                server.behavior,
                server.scheduling,
                confirm=server.confirm if isinstance(server.confirm, bool) else offered.name in server.confirm,
                report=server.report,
                masked=server.masked,
            )
        except ConfigError as error:
            raise ConfigError(f"MCP server {self.name}: {error}; use only=[...] to leave it out") from error

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        client = await self._connected()
        try:
            result = await client.call_tool(name, arguments)
        except self._mcp.MCPError as error:
            if error.code == self._mcp.types.CONNECTION_CLOSED and self._client is client:
                logger.warning("MCP server %s has ended; the next tool call starts it again", self.name)
                self._client = None
                self._stop.set()
            raise ToolError(f"{name} failed: {error.message}") from error
        except self._errors as error:
            raise ToolError(f"{name} failed: {_reason(error)}") from error
        text = "\n".join(item.text if item.type == "text" else f"({item.type})" for item in result.content)
        if result.is_error:
            raise ToolError(text or f"{name} failed")
        answer = text if result.structured_content is None else result.structured_content
        pictures = [_picture(name, item.data) for item in result.content if item.type == "image"]
        return [answer, *pictures] if pictures else answer

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
        except asyncio.CancelledError:  # the tool call that needed it ran out of time
            self._holder.cancel()
            raise
        if ready.done():
            return ready.result()
        if not self._holder.done():
            self._holder.cancel()
            raise ToolError(f"it did not start within {START_TIMEOUT_S:g} s")
        error = None if self._holder.cancelled() else self._holder.exception()
        raise ToolError(f"it did not start: {'it ended' if error is None else _reason(error)}") from error

    async def _hold(self, ready: asyncio.Future[mcp.Client], stop: asyncio.Event) -> None:
        """Hold the connection until told to stop; the SDK requires the task that opened it to close it."""
        command, *arguments = self._server.command
        parameters = self._mcp.StdioServerParameters(
            command=command,
            args=arguments,
            env=dict(self._server.env) or None,
            encoding_error_handler="replace",  # bytes that are not UTF-8 would end the connection
        )
        async with self._mcp.Client(self._mended(parameters)) as client:
            ready.set_result(client)
            await stop.wait()

    @asynccontextmanager
    async def _mended(self, parameters: mcp.StdioServerParameters) -> AsyncIterator[tuple[Any, Any]]:
        """Start the program; its messages are mended before the SDK reads them."""
        async with self._mcp.stdio_client(parameters) as (read, write):
            yield _MendedStream(read, self.name), write


class _MendedStream:
    """A server's messages in the form that the SDK expects; one of the SDK's ``ReadStream``."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner = inner
        self._name = name
        self._unreadable = 0

    async def receive(self) -> Any:
        """Return the next message, or an exception if it cannot be read."""
        return self._mend(await self._inner.receive())

    async def aclose(self) -> None:
        """Stop reading."""
        await self._inner.aclose()

    def __aiter__(self) -> _MendedStream:
        return self

    async def __anext__(self) -> Any:
        return self._mend(await self._inner.__anext__())

    async def __aenter__(self) -> _MendedStream:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        left: bool | None = await self._inner.__aexit__(*error)
        return left

    def _mend(self, item: Any) -> Any:
        if isinstance(item, Exception):
            self._unreadable += 1
            if self._unreadable == 1:
                logger.warning("MCP server %s writes lines that are not messages; ignoring them", self._name)
            return item
        result = getattr(item.message, "result", None)
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            item.message.result = mended_listing(result)
        return item


def mended_listing(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of ``tools/list`` with every tool brought into the form that the protocol requires.

    The SDK would refuse all tools because of a single bad one.

    Args:
        result: as the server gave it; untrusted.
    """
    tools = []
    for given in result["tools"]:
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or not given["name"]:
            continue
        tool: dict[str, Any] = {"name": given["name"]}
        if isinstance(given.get("description"), str):
            tool["description"] = given["description"]
        schema = given.get("inputSchema")
        tool["inputSchema"] = {**(schema if isinstance(schema, Mapping) else {}), "type": "object"}
        promised = given.get("outputSchema")
        if isinstance(promised, Mapping) and promised.get("type") == "object":
            tool["outputSchema"] = promised
        tools.append(tool)
    mended = {**result, "tools": tools}
    if not isinstance(mended.get("nextCursor"), str):
        mended.pop("nextCursor", None)
    return mended


def callable_names(names: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Return the name by which the model calls each tool: its own, or a similar one if the Live API refuses it."""
    called = {name: name for name in names if TOOL_NAME.fullmatch(name)}
    used = {*taken, *called}
    for name in names:
        if name in called:
            continue
        like = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        like = like if re.search("[A-Za-z0-9]", like) else "tool"
        like = (like if re.match("[A-Za-z_]", like) else f"_{like}")[:MAX_NAME_CHARS]
        ways = (like, *(f"{like[: MAX_NAME_CHARS - 5]}_{number}" for number in range(2, 9999)))
        called[name] = next(each for each in ways if each not in used)
        used.add(called[name])
    return called


def _reason(error: BaseException) -> str:
    """Return one line that says what went wrong, from the innermost error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__


def _picture(name: str, data: str) -> Picture:
    try:
        return Picture(base64.b64decode(data, validate=True))
    except binascii.Error:
        raise ToolError(f"{name} failed: its picture is not valid Base64") from None
