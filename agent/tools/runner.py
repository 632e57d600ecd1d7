"""Run a tool that the model called: with a deadline, and with every failure turned into an answer."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import ToolError
from agent.tools.declare import Tool

logger = logging.getLogger(__name__)

Outcome = Literal["result", "error", "timeout"]


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """How a tool call ended, and what the model is told.

    Attributes:
        outcome: ``result``, ``error`` or ``timeout``.
        response: the object sent back: ``{"output": ...}`` or ``{"error": "..."}``.
    """

    outcome: Outcome
    response: dict[str, Any]


async def run_tool(tools: Sequence[Tool], name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
    """Call the named tool; a plain function runs in a thread, so that it cannot hold up the audio.

    Args:
        tools: the tools that were declared.
        name: as the model gave it: untrusted.
        arguments: as the model gave them: untrusted.
    """
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        return ToolAnswer("error", {"error": f"there is no tool called {name}"})
    try:
        async with asyncio.timeout(tool.timeout_s):
            if inspect.iscoroutinefunction(tool.function):
                output = await tool.function(**arguments)
            else:
                output = await _in_thread(tool.function, arguments)
        json.dumps(output, allow_nan=False)  # what JSON cannot hold is the tool's failure, not the call's
    except TimeoutError:
        return ToolAnswer("timeout", {"error": f"{name} took longer than {tool.timeout_s:g} s"})
    except ToolError as error:
        return ToolAnswer("error", {"error": str(error)})
    except (Exception, SystemExit) as error:  # whatever a tool raises is told to the model; the call goes on
        logger.warning("tool %s failed: %s", name, type(error).__name__)
        return ToolAnswer("error", {"error": f"{name} failed: {type(error).__name__}"})
    return ToolAnswer("result", {"output": output})


async def _in_thread(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a plain function in a thread of its own, so that it holds up neither the audio nor the service's end.

    The event loop's executor would do neither: it has few threads, which name look-ups need too, and the end waits
    for them.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not done.done():
            set_outcome(outcome)

    def work() -> None:
        try:
            setter, outcome = done.set_result, context.run(function, **arguments)
        except (Exception, SystemExit) as error:  # it belongs to whoever awaits; a thread has nobody above it
            setter, outcome = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(settle, setter, outcome)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await done
