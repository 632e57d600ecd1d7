"""A tool shows the model a picture."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from agent import Agent, Picture, tool
from agent.emulator.faults.kinds import Close, RefuseHandle
from agent.media.still import MAX_STILL_BYTES
from tests.support.line import FAST, on_line, says
from tests.support.pictures import blue_jpeg

SHOWN = blue_jpeg(96, 48)
FULL = {"tool_reports": "full"}


def plan(floor: int) -> dict[str, Any]:
    """Show the plan of a floor."""
    return {"floor": floor, "plan": Picture(SHOWN)}


def broken() -> Picture:
    """Show something that is no picture."""
    return Picture(b"GIF89a")


def huge() -> list[Picture]:
    """Show far too much."""
    return [Picture(SHOWN + bytes(MAX_STILL_BYTES - len(SHOWN)))] * 3


async def stopped(line: Any) -> Any:
    return (await line.caller.message("llm-function-call-stopped"))["result"]


async def test_the_model_sees_it_with_the_result() -> None:
    async with on_line(**FAST, settings=FULL, definition=Agent(tools=[plan])) as line:
        line.caller.type('call plan {"floor": 2}')
        assert await stopped(line) == {"output": {"floor": 2, "plan": "(picture 1)"}}
        (session,) = line.emulator.sessions
        await line.emulator.wait_for(lambda: bool(session.tool_results))
        (result,) = session.tool_results
        assert result.response == {"output": {"floor": 2, "plan": "(picture 1)"}}
        assert [(picture.mime, picture.data) for picture in result.pictures] == [("image/jpeg", SHOWN)]
        line.caller.type("what do you see")
        await says(line.caller, "I received a picture of 96 by 48 pixels.")
        assert session.violations == []


async def test_a_model_that_takes_none_from_tools_is_told_so() -> None:
    settings = {**FULL, "model": "gemini-2.5-flash-native-audio"}
    async with on_line(**FAST, settings=settings, definition=Agent(tools=[plan])) as line:
        line.caller.type('call plan {"floor": 2}')
        await stopped(line)
        (session,) = line.emulator.sessions
        await line.emulator.wait_for(lambda: bool(session.tool_results))
        (result,) = session.tool_results
        assert result.pictures == ()
        assert "cannot be shown" in result.response["pictures"]


@pytest.mark.parametrize(("what", "why"), [(broken, "neither a JPEG nor a PNG"), (huge, "8 MiB together")])
async def test_what_cannot_be_shown_is_the_tools_failure(what: Any, why: str) -> None:
    async with on_line(**FAST, settings=FULL, definition=Agent(tools=[what])) as line:
        line.caller.type(f"call {what.__name__}")
        result = await stopped(line)
        assert result["error"].startswith(f"{what.__name__} failed")
        assert why in result["error"]


async def test_the_session_that_asks_again_gets_the_picture_too() -> None:
    """The session that asked is lost while the tool runs; the next one takes its call over."""
    lost = threading.Event()

    @tool(behavior="BLOCKING")
    def slow_plan() -> Picture:
        """Show the plan, after a while."""
        lost.wait(10)
        return Picture(SHOWN)

    faults = [Close(at="tool_called", nth=1, session=1), RefuseHandle()]
    async with on_line(**FAST, faults=faults, settings=FULL, definition=Agent(tools=[slow_plan])) as line:
        line.caller.type("call slow_plan")
        await line.told("session-replaced", timeout_s=15)
        second = line.emulator.sessions[-1]
        await line.emulator.wait_for(lambda: second.sent_kinds["toolCall"] == 1)
        lost.set()
        await line.emulator.wait_for(lambda: bool(second.tool_results))
        assert [picture.data for picture in second.tool_results[0].pictures] == [SHOWN]
