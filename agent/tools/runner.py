"""Run a tool that the model called; every failure becomes an answer. Whoever runs it enforces the deadline."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from agent.errors import ToolError
from agent.isolate import is_cancellation
from agent.picture import Picture
from agent.tools.context import CallContext
from agent.tools.declare import Scheduling, Tool
from agent.tools.scheduled import unscheduled
from agent.unicode import valid_json, valid_text

logger = logging.getLogger(__name__)

Outcome = Literal["result", "error", "timeout", "unconfirmed"]

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
MAX_ANSWER_CHARS = 64 << 10  # JSON of some 16,000 tokens, which are billed again in every later turn
MAX_ERROR_CHARS = 4000


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """How a tool call ended, and what the model is told.

    Attributes:
        outcome: ``result``, ``error``, ``timeout``, or ``unconfirmed``, which waits for the caller's yes.
        response: the object sent back: ``{"output": ...}`` or ``{"error": "..."}``.
        pictures: sent along with it; the response refers to them as ``(picture 1)`` and so on. Not checked.
        scheduling: when the model should speak of it, if the tool said so for this answer.
    """

    outcome: Outcome
    response: dict[str, Any]
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    scheduling: Scheduling | None = None


async def run_tool(
    tool: Tool,
    arguments: Mapping[str, Any],
    context: CallContext,
    objection: Callable[[Mapping[str, Any]], Awaitable[str | None]] | None = None,
) -> ToolAnswer:
    """Call a tool; a plain function runs in a thread, so that it cannot hold up the audio.

    Args:
        tool: what to call.
        arguments: as the model gave them; untrusted.
        context: passed to a tool that has a parameter for it.
        objection: called for a tool with ``confirm`` once its arguments have been checked; returns what to tell the
            model instead of running the tool, or None to run it.
    """
    try:
        given = tool.parse(arguments)
        if tool.confirm and objection is not None and (instead := await objection(given)) is not None:
            return ToolAnswer("unconfirmed", {"output": instead})
        if tool.context is not None:
            given[tool.context] = context
        if inspect.iscoroutinefunction(tool.function):
            output = await tool.function(**given)
        else:
            output = await in_thread(partial(tool.function, **given))
        if inspect.isawaitable(output):  # an async function inside a plain wrapper
            output = await output
        output, scheduling = unscheduled(output)
        pictures: list[Picture] = []
        output = check_answer(output, partial(_numbered, pictures))
    except ToolError as error:
        return ToolAnswer("error", {"error": _words(error) or f"{tool.name} failed"}, scheduling=error.scheduling)
    except BaseException as error:  # even an exit() in a tool is only reported to the model; the call goes on
        if is_cancellation(error):
            raise
        logger.warning("tool %s failed: %s", tool.name, type(error).__name__)
        return ToolAnswer("error", {"error": f"{tool.name} failed: {type(error).__name__}"})
    return ToolAnswer("result", {"output": output}, tuple(pictures), scheduling)


def _words(error: ToolError) -> str:
    """Return an error's text; "" if it has none or its ``__str__`` fails."""
    try:
        return valid_text(str(error))[:MAX_ERROR_CHARS]
    except BaseException:  # __str__ may be the tool's own code too
        logger.warning("a ToolError could not be converted to text")
        return ""


def _numbered(pictures: list[Picture], value: object) -> str:
    """Collect a picture and return the text that refers to it."""
    if not isinstance(value, Picture):
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
    pictures.append(value)
    return f"(picture {len(pictures)})"


def check_answer(output: object, otherwise: Callable[[object], Any] | None = None) -> Any:
    """Return a tool's output as the model is told it: pydantic models, dates and so on become plain JSON.

    Args:
        output: what a tool returned.
        otherwise: converts values of any other type.

    Raises:
        ToolError: it is too long.
        ValueError: it cannot be written as JSON.
    """
    try:
        plain = valid_json(to_jsonable_python(output, fallback=otherwise))
    except UnicodeEncodeError:  # pydantic raises this for a key, but not for a value
        plain = to_jsonable_python(valid_json(_ANYTHING.dump_python(output)), fallback=otherwise)
    length = len(json.dumps(plain, allow_nan=False, ensure_ascii=False))
    if length > MAX_ANSWER_CHARS:
        raise ToolError(f"the answer is too long: {length} characters of JSON, at most {MAX_ANSWER_CHARS} allowed")
    return plain


async def in_thread(function: Callable[[], Any]) -> Any:
    """Call a plain function in its own thread, so that it holds up neither the audio nor the service's shutdown.

    The event loop's executor is unsuitable: it has few threads, which DNS lookups need too, and shutdown waits for
    them.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not done.done():
            set_outcome(outcome)

    def work() -> None:
        try:
            setter, outcome = done.set_result, context.run(function)
        except (StopIteration, GeneratorExit) as error:  # a coroutine cannot pass these on, see PEP 479
            setter, outcome = done.set_exception, RuntimeError(f"raised {type(error).__name__}")
        except BaseException as error:  # passed on to whoever awaits; nobody in this thread could handle it
            setter, outcome = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended and nobody is waiting
            loop.call_soon_threadsafe(settle, setter, outcome)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await done
