"""A call as tools and hooks see it, in an event loop whose time passes when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from agent.call.host import ToolRates
from agent.spoken import Spoken
from agent.tools.declare import Tool


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until `let_pass`."""

    now = 1000.0

    def time(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test in such a loop; nothing may be raised that nobody catches."""
    wrong: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.get_loop().set_exception_handler(lambda _loop, context: wrong.append(context))
        runner.run(work)
    assert wrong == []


def loop_time() -> float:
    """Return the loop's time in seconds."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let all tasks run as far as they can."""
    for _ in range(8):
        await asyncio.sleep(0)


async def let_pass(seconds: float) -> None:
    """Let time pass, and all tasks run as far as they then can."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.now += seconds
    await settle()


class FakeCall:
    """A call that notes what tools and hooks ask of it."""

    def __init__(self) -> None:
        self.call_id = "c1"
        self.caller: str | None = "+4930123456"
        self.metadata: Mapping[str, str] = {"plan": "gold"}
        self.caller_spoke_at = 0.0
        self.tool_rates = ToolRates()
        self.turns: list[tuple[str, str]] = []
        self.asked: list[tuple[Any, ...]] = []

    def say_to_agent(self, words: str) -> None:
        self.caller_spoke_at = loop_time()
        self.turns.append((f"t{len(self.turns)}", words))

    def caller_turns(self) -> list[tuple[str, str]]:
        return self.turns

    def spoken(self) -> tuple[Spoken, ...]:
        return (Spoken("caller", "hello"),)

    def say(self, text: str) -> None:
        self.asked.append(("say", text))

    def send_event(self, name: str, data: Any) -> None:
        self.asked.append(("send_event", name, data))

    def add_to_context(self, text: str, role: str, *, run_immediately: bool) -> None:
        self.asked.append(("add_to_context", text, role, run_immediately))

    def change_agent(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        self.asked.append(("change_agent", instructions, [tool.name for tool in tools or ()]))

    def picture(self, source: str | None) -> bytes | None:
        return b"jpeg" if source == "camera" else None

    def end_call(self) -> None:
        self.asked.append(("end_call",))

    def pause_recording(self) -> None:
        self.asked.append(("pause_recording",))

    def resume_recording(self) -> None:
        self.asked.append(("resume_recording",))
