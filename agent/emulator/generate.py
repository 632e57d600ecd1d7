"""Answers generateContent, as the text models beside the Live API do; a script may have it fail."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from agent.emulator.faults.kinds import BadAnswer, RefuseGenerate, SlowAnswer
from agent.emulator.faults.schedule import FaultSchedule, is_nth
from agent.emulator.wire.generate import (
    BadRequestError,
    GenerateRequest,
    answer,
    blocked,
    error,
    example,
    parse_request,
)
from agent.emulator.wire.incoming import Json

logger = logging.getLogger(__name__)

_CHARS_PER_TOKEN = 4

OnGenerate: TypeAlias = Callable[[GenerateRequest], Any]
"""Returns what the model answers: a text as it is, anything else as JSON; None leaves it to the demo."""


@dataclass(eq=False)
class GenerateRecord:
    """One request for generateContent, and what came of it."""

    number: int
    """1 for the server's first one."""
    path: str
    request: GenerateRequest | None = None
    """None if it could not be read."""
    status: int = 0
    """The HTTP status of the answer; 0 if there is none (yet)."""
    faults: list[str] = field(default_factory=list)
    handle: None = None
    """It belongs to no session."""

    def faulted(self, kind: str) -> None:
        self.faults.append(kind)


class Generator:
    """Answers the requests of one server.

    Args:
        record: what happened to this request.
        schedules: the faults that may happen to it.
        on_generate: a test's own model.
    """

    def __init__(
        self, record: GenerateRecord, schedules: Sequence[FaultSchedule], on_generate: OnGenerate | None
    ) -> None:
        self._record = record
        self._schedules = schedules
        self._on_generate = on_generate

    async def answer(self, request: web.Request) -> web.Response:
        """Answer it.

        Raises:
            ConnectionResetError: the script has the connection dropped.
        """
        record = self._record
        try:
            record.request = asked = parse_request(record.path, await request.text())
        except BadRequestError as refusal:
            logger.warning("generateContent %d: a bad request: %s", record.number, refusal)
            return self._reply(400, error(400, str(refusal)))
        for refused in self._happening(RefuseGenerate):
            return self._reply(refused.status, error(refused.status, refused.reason, refused.retry_after_s))
        for slow in self._happening(SlowAnswer):
            await asyncio.sleep(slow.delay_s)
        for bad in self._happening(BadAnswer):
            return self._bad(bad, asked, request)
        return self._say(self._written(asked), "STOP", asked)

    def _happening(self, kind: type[Any]) -> Any:
        number = self._record.number
        for schedule in self._schedules:
            yield from schedule.happening(self._record, kind, lambda fault: is_nth(fault.nth, number))

    def _written(self, asked: GenerateRequest) -> str:
        """Return what the model writes."""
        told = None if self._on_generate is None else self._on_generate(asked)
        if told is None:
            words = f"(the offline demo read {len(asked.text)} characters)"
            told = words if asked.schema is None else example(asked.schema, words)
        return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)

    def _bad(self, fault: BadAnswer, asked: GenerateRequest, request: web.Request) -> web.Response:
        written = self._written(asked)
        match fault.what:
            case "not_json":
                return self._say(f"Here you are: {written}", "STOP", asked)
            case "unfit":
                return self._say('{"summary": 5, "data": []}', "STOP", asked)
            case "cut_off":
                return self._say(written[: len(written) // 2], "MAX_TOKENS", asked)
            case "safety":
                return self._say(None, "SAFETY", asked)
            case "blocked":
                return self._reply(
                    200, blocked("PROHIBITED_CONTENT", model=asked.model, prompt_tokens=_tokens(asked))
                )
            case "empty":
                return self._say("", "STOP", asked)
            case _:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("the script drops the connection")

    def _say(self, text: str | None, finish: str, asked: GenerateRequest) -> web.Response:
        return self._reply(200, answer(text, finish, model=asked.model, prompt_tokens=_tokens(asked)))

    def _reply(self, status: int, body: Json) -> web.Response:
        self._record.status = status
        return web.json_response(body, status=status)


def _tokens(asked: GenerateRequest) -> int:
    return (len(asked.text) + len(asked.instruction)) // _CHARS_PER_TOKEN
