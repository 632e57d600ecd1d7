"""JSON that is nested too deeply is a message that cannot be read, whoever sent it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType

from signaling.janus import Janus
from signaling.twilio import _parse

DEEP = '{"event": "media", "janus": "event", "media": ' + "[" * 30_000 + "]" * 30_000 + "}"


def test_it_is_deep() -> None:
    with pytest.raises(RecursionError):
        json.loads(DEEP)


def test_of_a_carrier() -> None:
    assert _parse(WSMessage(WSMsgType.TEXT, DEEP, None)) is None


def test_of_the_gateway(caplog: pytest.LogCaptureFixture) -> None:
    """It would have ended the connection, and with it all telephone calls."""

    async def take() -> None:
        socket: Any = None
        Janus(socket, None)._take(DEEP)

    asyncio.run(take())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
