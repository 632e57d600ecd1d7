"""Functions that run in the client: tools whose answer comes over the data channel."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

from agent.live.models import rules_of
from agent.tools.declare import Tool
from agent.unicode import read_json
from signaling.dialects.openai.session import WishedTool

TIMEOUT_S = 60.0  # the client may ask a person first


class ClientFunctions:
    """The functions of one call's client.

    Args:
        model: decides whether it can be told to wait for an answer.
        called: tells the client of a call: takes its id, the function's name and the arguments as JSON.
    """

    def __init__(self, model: str, called: Callable[[str, str, str], None]) -> None:
        self._blocking = rules_of(model).blocking
        self._called = called
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    def tool(self, wished: WishedTool) -> Tool:
        """Return a function as a tool of the call.

        Raises:
            ConfigError: it cannot be declared to the model.
        """

        async def run(**arguments: Any) -> Any:
            call_id = f"call_{secrets.token_urlsafe(12)}"
            answer = self._waiting[call_id] = asyncio.get_running_loop().create_future()
            try:
                self._called(call_id, wished.name, json.dumps(arguments, ensure_ascii=False))
                return await answer
            finally:
                del self._waiting[call_id]

        return Tool(
            wished.name,
            wished.description,
            wished.parameters,
            run,
            timeout_s=TIMEOUT_S,
            behavior="BLOCKING" if self._blocking else None,
        )

    def answer(self, call_id: str, output: str) -> bool:
        """Pass on the client's answer; return False if no such call is open."""
        waiting = self._waiting.get(call_id)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(_plain(output))
        return True


def _plain(output: str) -> Any:
    """Return the object or list that a text is the JSON of, or else the text."""
    if output.lstrip()[:1] not in ("{", "["):
        return output
    try:
        return read_json(output)
    except ValueError:
        return output
