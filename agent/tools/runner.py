"""Run a tool that the model called: every failure becomes an answer. Its deadline is the caller's to keep."""

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
MAX_ANSWER_CHARS = 64 << 10  # of JSON: some 16 000 tokens, which the model pays for in every later turn
MAX_ERROR_CHARS = 4000


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """How a tool call ended, and what the model is told.

    Attributes:
        outcome: ``result``, ``error``, ``timeout``, or ``unconfirmed``: it waits for the caller's yes.
        response: the object sent back: ``{"output": ...}``, or ``{"error": "..."}``.
        pictures: what goes with it; in the response ``(picture 1)`` and so on stand for them. Not checked.
        scheduling: when the model is to speak of it, if the tool said so of this answer.
    """

    outcome: Outcome
    response: dict[str, Any]
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
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
        arguments: as the model gave them: untrusted.
        context: handed to a tool that asks for it.
        objection: asked of a tool that wants the caller's yes, once its arguments were found to be right: returns
            what the model is told in the answer's place, or None.
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
        if inspect.isawaitable(output):  # of an async function in a wrapper that is none
            output = await output
        output, scheduling = unscheduled(output)
        pictures: list[bytes] = []
        output = check_answer(output, partial(_numbered, pictures))
    except ToolError as error:
        return ToolAnswer("error", {"error": _words(error) or f"{tool.name} failed"}, scheduling=error.scheduling)
    except BaseException as error:  # whatever a tool raises, exit() and all, is told to the model; the call goes on
        if is_cancellation(error):
            raise
        logger.warning("tool %s failed: %s", tool.name, type(error).__name__)
        return ToolAnswer("error", {"error": f"{tool.name} failed: {type(error).__name__}"})
    return ToolAnswer("result", {"output": output}, tuple(pictures), scheduling)


def _words(error: ToolError) -> str:
    """Return an error's text; "" if it has none, or fails to say it."""
    try:
        return valid_text(str(error))[:MAX_ERROR_CHARS]
    except BaseException:  # it is the tool's own, too
        logger.warning("the text of a ToolError cannot be had")
        return ""


def _numbered(pictures: list[bytes], value: object) -> str:
    """Put a picture aside; return what stands in its place."""
    if not isinstance(value, Picture):
        raise TypeError(f"JSON cannot hold a {type(value).__name__}")
    pictures.append(value.data)
    return f"(picture {len(pictures)})"


def check_answer(output: object, otherwise: Callable[[object], Any] | None = None) -> Any:
    """Return what the model can be told: pydantic's models, dataclasses, dates and so on as plain, valid JSON.

    Args:
        output: what a tool returned.
        otherwise: makes JSON of what else there is in it.

    Raises:
        ToolError: it is too long.
        ValueError: JSON cannot hold it.
    """
    try:
        plain = valid_json(to_jsonable_python(output, fallback=otherwise))
    except UnicodeEncodeError:  # pydantic's word on a key, but not on a value
        plain = to_jsonable_python(valid_json(_ANYTHING.dump_python(output)), fallback=otherwise)
    length = len(json.dumps(plain, allow_nan=False, ensure_ascii=False))
    if length > MAX_ANSWER_CHARS:
        raise ToolError(f"the answer is too long: {length} characters, at most {MAX_ANSWER_CHARS} can be told")
    return plain


async def in_thread(function: Callable[[], Any]) -> Any:
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
            setter, outcome = done.set_result, context.run(function)
        except (StopIteration, GeneratorExit) as error:  # a coroutine cannot hand these on, see PEP 479
            setter, outcome = done.set_exception, RuntimeError(f"raised {type(error).__name__}")
        except BaseException as error:  # it belongs to whoever awaits; a thread has nobody above it
            setter, outcome = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(settle, setter, outcome)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await done
