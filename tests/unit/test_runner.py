"""Whatever a tool does, the model gets an answer and the call goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import ToolError
from agent.tools.declare import Tool
from agent.tools.runner import ToolAnswer, run_tool


def run(function: Callable[..., Any], *, timeout_s: float = 5.0, **arguments: Any) -> ToolAnswer:
    tool = Tool("probe", "A probe.", {"type": "object"}, function, timeout_s)
    return asyncio.run(run_tool([tool], "probe", arguments))


def test_a_plain_function_and_a_coroutine() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    assert run(lambda a, b: a + b, a=1, b=2) == ToolAnswer("result", {"output": 3})
    assert run(add, a=1, b=2) == ToolAnswer("result", {"output": 3})


def test_an_unknown_tool() -> None:
    answer = asyncio.run(run_tool([], "nothing", {}))
    assert answer.outcome == "error"
    assert "nothing" in answer.response["error"]


@pytest.mark.parametrize("output", [object(), {1, 2}, float("nan"), {("a",): 1}, b"bytes"])
def test_what_json_cannot_hold_is_the_tools_failure(output: object) -> None:
    assert run(lambda: output).outcome == "error"


def test_wrong_arguments_are_the_tools_failure() -> None:
    assert run(lambda a: a, b=1).outcome == "error"


def test_a_tools_own_words_reach_the_model_and_a_strangers_do_not() -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert run(fail, error=ToolError("No such city.")).response == {"error": "No such city."}
    assert "secret" not in str(run(fail, error=ValueError("secret")).response)
    assert run(fail, error=SystemExit(3)).outcome == "error"


def test_a_slow_plain_function_is_left_behind() -> None:
    """Its thread holds up neither the answer nor the end of the loop."""
    begun = time.monotonic()
    assert run(lambda: time.sleep(3), timeout_s=0.05).outcome == "timeout"
    assert time.monotonic() - begun < 2
