"""JSON that is nested too deeply or has the wrong shape is an unreadable message, whoever sent it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType

from agent.errors import GatewayError
from signaling.phone.janus import Janus
from signaling.phone.twilio import parse_frame

DEEP = '{"event": "media", "janus": "event", "media": ' + "[" * 30_000 + "]" * 30_000 + "}"


def test_it_is_deep() -> None:
    with pytest.raises(RecursionError):
        json.loads(DEEP)


def test_of_a_carrier() -> None:
    assert parse_frame(WSMessage(WSMsgType.TEXT, DEEP, None)) is None


def test_of_the_gateway(caplog: pytest.LogCaptureFixture) -> None:
    """It would have ended the connection, and with it all telephone calls."""

    async def take() -> None:
        socket: Any = None
        Janus(socket, None)._take(DEEP)

    asyncio.run(take())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("error", [None, "no", 5, [1], {}, {"code": "403", "reason": {}}])
async def test_a_refusal_of_another_shape_is_one(error: object) -> None:
    """As an error of ours it would have ended the telephone line for good."""

    class Socket:
        async def send_json(self, message: dict[str, Any]) -> None:
            answer = {"janus": "error", "transaction": message["transaction"], "error": error}
            asyncio.get_running_loop().call_soon(janus._take, json.dumps(answer))

    socket: Any = Socket()
    janus = Janus(socket, None)
    with pytest.raises(GatewayError, match="the gateway refused") as caught:
        await janus.request({"janus": "create"})
    assert caught.value.code is None
