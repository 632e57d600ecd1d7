"""What callers see of tool calls, on the data channel and by GET, and what the agent's file sees."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from agent import Agent, CallContext, events, tool
from agent.events import ReportLevel
from tests.support.line import FAST, Line, on_line

ASKED, ANSWERED = "4711", "the answer is 42"


def agent(told: list[Any], report: ReportLevel | None = None) -> Agent:
    @tool(report=report, masked=["pin"])
    def check(pin: str, city: str) -> dict[str, Any]:
        """Check a pin."""
        return {"city": city, "pin": pin, "text": ANSWERED}

    def note(_call: CallContext, event: events.Event) -> None:
        told.append(event)

    return Agent(tools=[check], on_event=note)


async def ask(line: Line) -> tuple[str, dict[str, Any]]:
    """Have the tool called; return all that was told of it, as text, and what GET tells."""
    line.caller.type(f'call check {{"pin": "{ASKED}", "city": "Rome"}}')
    await line.caller.message("llm-function-call-stopped")
    async with aiohttp.ClientSession() as http, http.get(str(line.caller.location)) as response:
        info: dict[str, Any] = await response.json()
    told = [each for each in line.caller.messages if each["type"].startswith("llm-function-call")]
    return json.dumps(told), info


@pytest.mark.parametrize(
    ("setting", "own", "named", "answered"),
    [
        (None, None, True, False),
        ("none", None, False, False),
        ("full", None, True, True),
        ("full", "name", True, False),
        ("full", "none", False, False),
        (None, "full", True, True),
        ("none", "full", True, True),
    ],
)
async def test_callers_are_told_as_much_as_they_may_know(
    setting: str | None, own: ReportLevel | None, named: bool, answered: bool
) -> None:
    seen: list[Any] = []
    settings = {} if setting is None else {"tool_reports": setting}
    async with on_line(**FAST, settings=settings, definition=agent(seen, own)) as line:
        told, info = await ask(line)
        assert ("check" in told) == named
        assert info["tools"] == (["check"] if named else [])
        assert (ANSWERED in told, "Rome" in told) == (answered, answered)
        assert ASKED not in told
        assert ('"***"' in told) == answered
    called = next(event for event in seen if isinstance(event, events.ToolCalled))
    finished = next(event for event in seen if isinstance(event, events.ToolFinished))
    assert called.arguments == {"pin": ASKED, "city": "Rome"}
    assert finished.result["output"]["pin"] == ASKED
