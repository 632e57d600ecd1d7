"""Messages of the Live server, as far as the facts that they become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.genai import errors, types
from google.genai.live import AsyncSession

from agent.live.connect import UNREADABLE
from agent.live.wire import facts
from tests.fuzz.target import Take, Target
from tests.fuzz.targets.live import conversation
from tests.fuzz.world import CLIENTS


class Socket:
    """Stands for the WebSocket: it has its message already."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    async def recv(self, decode: bool | None = None) -> bytes:
        return self._text


@contextmanager
def fresh() -> Iterator[Take]:
    yield take


def take(text: bytes) -> object:
    socket: Any = Socket(text)
    found = facts(read(AsyncSession(CLIENTS[False]._api_client, socket)))
    return tuple(type(fact).__name__ for fact in found)[:9]


def read(session: AsyncSession) -> types.LiveServerMessage:
    try:
        session._receive().send(None)
    except StopIteration as read:
        message: types.LiveServerMessage = read.value
        return message
    raise AssertionError("it waits")


TARGET = Target(
    "wire",
    "json",
    fresh,
    expected=(*UNREADABLE, errors.APIError),
    more=conversation,
    max_bytes=256 << 10,
    quick=2000,
)
