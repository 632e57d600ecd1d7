"""A session is closed in time, and whoever closes it can be cancelled meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.live.connect import close


class Connecting:
    """Stands for the SDK's context manager: it is closed once it may be."""

    def __init__(self) -> None:
        self.may_close = asyncio.Event()
        self.cancelled = False

    async def __aexit__(self, *_error: object) -> None:
        try:
            await self.may_close.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.mark.parametrize("rounds", range(6))
def test_a_cancel_is_not_lost_when_the_session_closes_just_then(rounds: int) -> None:
    """If it were, the call would go on with another session after its end."""

    async def scene() -> None:
        connecting: Any = Connecting()
        closing = asyncio.create_task(close_and_go_on(connecting))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connecting.may_close.set()
        for _ in range(rounds):
            await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    async def close_and_go_on(connecting: Any) -> None:
        await close(connecting, 10.0)
        await asyncio.sleep(10)

    asyncio.run(scene())


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    async def scene() -> bool:
        connecting: Any = Connecting()
        await close(connecting, -0.49)
        return bool(connecting.cancelled)

    assert asyncio.run(scene())
