"""A service that is told of calls by webhooks, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"a" * 32).decode()
Answer = Callable[["Receiver", str], web.Response]


@dataclass
class Receiver:
    """A service that is told of calls.

    Attributes:
        answer: decides on each request, by the message's id.
        attempts: headers and body of each, in order.
        delivered: bodies by id, of those that were answered with success.
        times: how often each id was delivered.
    """

    answer: Answer
    url: str = ""
    attempts: list[tuple[dict[str, str], str]] = field(default_factory=list)
    delivered: dict[str, Any] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.attempts.append((dict(request.headers), body))
        message_id = request.headers["webhook-id"]
        Webhook(SECRET).verify(body, dict(request.headers))
        response = self.answer(self, message_id)
        if 200 <= response.status < 300:
            self.delivered[message_id] = json.loads(body)
            self.times[message_id] += 1
        self.changed.set()
        return response

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    def types(self) -> list[str]:
        return [body["type"] for body in self.delivered.values()]


@asynccontextmanager
async def receiving(answer: Answer = lambda _receiver, _id: web.Response(status=204)) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    app = web.Application()
    app.add_routes([web.post("/hook", receiver.receive)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
