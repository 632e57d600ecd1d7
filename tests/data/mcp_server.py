"""A small MCP server, for tests of talkspurt as its client."""

import os
import sys

from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("probe", log_level="CRITICAL")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def refuse(why: str) -> str:
    """Refuse to do anything."""
    raise ValueError(why)


@server.tool()
def process_id() -> int:
    """Say which process this is."""
    return os.getpid()


@server.tool()
def draw() -> Image:
    """Draw something."""
    return Image(data=b"\x89PNG\r\n\x1a\n" + bytes(30), format="png")


@server.tool()
def die() -> str:
    """End without a word."""
    os._exit(3)


if "--broken" in sys.argv:
    sys.exit("this server is broken on purpose")
server.run("stdio")
