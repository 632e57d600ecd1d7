"""Whatever a tool does, it ends with an answer that the model can be told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from agent.errors import ToolError
from agent.picture import Picture
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.runner import MAX_ANSWER_CHARS, MAX_ERROR_CHARS, ToolAnswer, run_tool


class NoCall:
    """A context that only counts."""

    call_id = "c1"
    caller = None
    transcript = ()

    def __init__(self) -> None:
        self.told: list[Any] = []

    def say(self, text: str) -> None: ...
    def send_event(self, name: str, data: Any = None) -> None: ...
    def add_to_context(self, text: str, role: Any = "system", *, run_immediately: bool = False) -> None: ...
    def change_agent(self, instructions: str | None = None, tools: Any = None) -> None: ...
    def picture(self, source: Any = None) -> bytes | None: ...
    def end_call(self) -> None: ...
    def pause_recording(self) -> None: ...
    def resume_recording(self) -> None: ...
    def progress(self, value: Any) -> None:
        self.told.append(value)


def run(function: Callable[..., Any], **arguments: Any) -> ToolAnswer:
    tool = Tool("probe", "A probe.", {"type": "object"}, function)
    return asyncio.run(run_tool(tool, arguments, NoCall()))


def test_a_plain_function_and_a_coroutine() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    assert run(lambda a, b: a + b, a=1, b=2) == ToolAnswer("result", {"output": 3})
    assert run(add, a=1, b=2) == ToolAnswer("result", {"output": 3})


def test_a_coroutine_in_a_plain_wrapper_is_awaited() -> None:
    async def add(a: int) -> int:
        return a + 1

    assert run(lambda a: add(a), a=1).response == {"output": 2}


def test_a_plain_function_runs_beside_the_loop() -> None:
    assert run(lambda: threading.current_thread() is threading.main_thread()).response == {"output": False}


def test_a_tool_that_asks_for_the_call_gets_it() -> None:
    def look(ctx: CallContext, city: str) -> str:
        ctx.progress(city)
        return "done"

    tool, context = Tool("look", "", {}, look, context="ctx"), NoCall()
    assert asyncio.run(run_tool(tool, {"city": "Rome", "ctx": "the model's"}, context)).outcome == "result"
    assert context.told == ["Rome"]


@pytest.mark.parametrize("output", [object(), float("nan"), b"\xff", lambda: 1])
def test_what_json_cannot_hold_is_the_tools_failure(output: object) -> None:
    assert run(lambda: output).outcome == "error"


class Unsayable(ToolError):
    def __str__(self) -> str:
        raise KeyboardInterrupt


RAISED = [
    KeyboardInterrupt("now"),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopIteration(5),
    StopAsyncIteration(),
    BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError()]),
    RecursionError(),
    MemoryError(),
    type("Own", (BaseException,), {})(),
    Unsayable(),
    ToolError(["no text"]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
def test_whatever_a_tool_raises_is_its_own_failure(error: BaseException, plain: bool) -> None:
    def fails() -> None:
        raise error

    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise error

    answer = asyncio.run(
        asyncio.wait_for(run_tool(Tool("probe", "", {}, fails if plain else fails_later), {}, NoCall()), 5)
    )
    assert answer.outcome == "error"
    assert answer.response["error"]


def test_a_cancellation_goes_through() -> None:
    async def scenario() -> None:
        begun = asyncio.Event()

        async def forever() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(run_tool(Tool("probe", "", {}, forever), {}, NoCall()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_an_error_is_told_in_few_words() -> None:
    def fails() -> None:
        raise ToolError("x" * 1_000_000)

    assert len(run(fails).response["error"]) <= MAX_ERROR_CHARS


def test_pictures_are_put_aside_wherever_they_are() -> None:
    @dataclass
    class Found:
        name: str
        maps: list[Any]

    found = Found("Rome", [Picture(b"one"), {"large": Picture(b"two")}])
    assert run(lambda: found) == ToolAnswer(
        "result",
        {"output": {"name": "Rome", "maps": ["(picture 1)", {"large": "(picture 2)"}]}},
        (Picture(b"one"), Picture(b"two")),
    )
    assert run(lambda: Picture(b"one")) == ToolAnswer("result", {"output": "(picture 1)"}, (Picture(b"one"),))


def test_what_pydantic_knows_is_told_as_json() -> None:
    @dataclass
    class Slot:
        day: date
        seats: set[int]

    assert run(lambda: [Slot(date(2026, 1, 2), {1})]).response == {"output": [{"day": "2026-01-02", "seats": [1]}]}


def test_an_answer_that_is_too_long_is_the_tools_failure() -> None:
    answer = run(lambda: "x" * MAX_ANSWER_CHARS)
    assert answer.outcome == "error"
    assert "too long" in answer.response["error"]


def test_wrong_arguments_are_the_tools_failure() -> None:
    assert run(lambda a: a, b=1).outcome == "error"


def test_a_tools_own_words_reach_the_model_and_a_strangers_do_not() -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert run(fail, error=ToolError("No such city.")).response == {"error": "No such city."}
    assert "secret" not in str(run(fail, error=ValueError("secret")).response)
    assert run(fail, error=SystemExit(3)).outcome == "error"


@dataclass
class Found:
    """What a library may return."""

    words: dict[str, Any]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("half \ud83d", "half \ufffd"),
        (["\ud83d", {"a": ("\ude00",)}], ["\ufffd", {"a": ["\ufffd"]}]),
        ({"\ud83d": {"\ude00": 1}}, {"\ufffd": {"\ufffd": 1}}),
        (Found({"\ud83d": [Found({"b": "\ud83d\ude00"})]}), {"words": {"\ufffd": [{"words": {"b": "😀"}}]}}),
        ({"\ud83d": date(2026, 11, 30)}, {"\ufffd": "2026-11-30"}),
    ],
)
def test_an_answer_is_made_valid_unicode(output: Any, told: Any) -> None:
    assert run(lambda: output) == ToolAnswer("result", {"output": told})


def test_a_failure_is_told_in_valid_unicode() -> None:
    def fail() -> None:
        raise ToolError("no \ud83d")

    assert run(fail) == ToolAnswer("error", {"error": "no \ufffd"})
