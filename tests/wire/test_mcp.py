"""Tools from a real MCP server, a process of its own, through the official SDK."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import McpServer, Picture
from agent.errors import ConfigError, ToolError
from agent.tools.declare import TOOL_NAME, Tool
from agent.tools.mcp import callable_names, mcp_tools

pytest.importorskip("mcp", reason="needs the extra `mcp`")

ODD_SERVER = str(Path(__file__).parent.parent / "data" / "odd_mcp_server.py")
SERVER = str(Path(__file__).parent.parent / "data" / "mcp_server.py")
COMMAND = (sys.executable, SERVER)


def odd(fault: str, **options: Any) -> McpServer:
    return McpServer(command=[sys.executable, ODD_SERVER, fault], **options)


def by_name(tools: list[Tool]) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools}


async def test_its_tools_are_declared_and_called() -> None:
    async with mcp_tools([McpServer(command=COMMAND, behavior="BLOCKING")]) as tools:
        assert list(by_name(tools)) == ["add", "refuse", "process_id", "draw", "die"]
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


@pytest.mark.parametrize(("confirm", "wanted"), [(True, True), (False, False), (["add"], True), (["draw"], False)])
async def test_the_caller_can_be_asked_first(confirm: bool | list[str], wanted: bool) -> None:
    server = McpServer(command=COMMAND, confirm=confirm, report="full", masked=["a"])
    async with mcp_tools([server]) as tools:
        add = by_name(tools)["add"]
        assert (add.confirm, add.report, add.masked) == (wanted, "full", ["a"])


async def test_a_picture_is_handed_on() -> None:
    async with mcp_tools([McpServer(command=COMMAND, only=["draw"])]) as tools:
        (draw,) = tools
        words, picture = await draw.function()
        assert words == "(image)"
        assert isinstance(picture, Picture)
        assert picture.data.startswith(b"\x89PNG")


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
        (McpServer(command=COMMAND, confirm=["subtract"]), "no tool called subtract"),
        (McpServer(command=COMMAND, confirm="add"), "not one name"),
        (McpServer(command=COMMAND, masked="pin"), "not one name"),
        (McpServer(command=[]), "command"),
    ],
)
async def test_a_server_that_cannot_be_used_is_named(server: McpServer, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with mcp_tools([server]):
            pass


async def test_a_name_that_the_live_api_would_refuse_is_changed_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with mcp_tools([odd("names"), odd("names", only=["files/read"])], taken=["_1st"]) as tools:
        first, second = by_name(tools[:-1]), tools[-1]
        long = "x" * 64
        assert list(first) == ["files_read", "files_read_2", "_1st_2", "gr__e", "tool", long, "fine"]
        assert second.name == "files_read_3"
        assert json.loads(await second.function(n=1)) == ["files/read", {"n": 1}]
        assert json.loads(await first["gr__e"].function()) == ["größe", {}]
    said = [record.getMessage() for record in caplog.records if "'files/read'" in record.getMessage()]
    assert [line.rpartition(" ")[2] for line in said] == ["files_read", "files_read_3"]
    assert not any("fine" in record.getMessage() for record in caplog.records)


@given(st.lists(st.text(max_size=70), unique=True), st.sets(st.sampled_from(["a", "tool", "_", "a_2"])))
def test_every_tool_has_a_name_of_its_own_that_the_live_api_takes(names: list[str], taken: set[str]) -> None:
    called = callable_names(names, taken)
    assert set(called) == set(names)
    assert len(set(called.values())) == len(names)
    for name, legal in called.items():
        assert TOOL_NAME.fullmatch(legal)
        assert legal == name or legal not in taken


@pytest.mark.parametrize(("fault", "count"), [("same-cursor", 1), ("empty-cursor", 1), ("endless", 100)])
async def test_a_list_that_does_not_end_is_ended(fault: str, count: int, caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(20), mcp_tools([odd(fault)]) as tools:
        assert len(tools) == count
    ends = [record for record in caplog.records if "does not end" in record.getMessage()]
    assert len(ends) == (fault != "empty-cursor")


async def test_what_the_protocol_wants_of_a_tool_and_is_missing_is_made_up() -> None:
    async with mcp_tools([odd("no-schema")]) as tools:
        assert [tool.name for tool in tools] == ["ping", "null", "odd"]
        assert tools[0].declaration()["parameters_json_schema"] == {"type": "object", "properties": {}}
        assert json.loads(await tools[1].function()) == ["null", {}]


async def test_arguments_are_brought_into_the_servers_form() -> None:
    async with mcp_tools([odd("")]) as (ping,):
        assert ping.parse({"n": "2"}) == {"n": 2}
        assert ping.parse({"n": None}) == {}


async def test_lines_that_are_no_messages_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async with mcp_tools([odd("banner")]) as (ping,):
        assert json.loads(await ping.function(n=1)) == ["ping", {"n": 1}]
    assert [record.levelno for record in caplog.records if record.name.startswith("mcp")] == []
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "not messages" in said


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("recursive", "tool walk: .* contains itself.*only="),
        ("dangling", "tool walk: .*does not define"),
        ("no-tools", "does not list its tools"),
        ("error", "does not list its tools: the database is gone"),
        ("exit", "does not list its tools"),
        ("hang", "did not list its tools within 1 s"),
        ("garbage", "did not start within 1 s"),
        ("version", "did not start.*1999"),
    ],
)
async def test_what_is_wrong_with_a_server_is_said_in_one_line(
    fault: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "1 s" in words:
        monkeypatch.setattr("agent.tools.mcp.START_TIMEOUT_S", 1.0)
    with pytest.raises(ConfigError, match=rf"odd_mcp_server.py {fault}: .*{words}") as wrong:
        async with asyncio.timeout(20), mcp_tools([odd(fault)]):
            pass
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (McpServer(command="python server.py"), "must be a list"),
        (McpServer(command=["python"], only="search"), "list of names"),
    ],
)
async def test_a_text_is_no_list(server: McpServer, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with mcp_tools([server]):
            pass
