"""The connection itself reports what the SDK does not: that something came."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from agent.clock import monotonic
from agent.live.pulse import Pulse, WatchedConnection


async def silent(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def test_a_pong_is_felt() -> None:
    pulse, other = Pulse(monotonic), Pulse(monotonic)
    async with serve(silent, "127.0.0.1", 0) as server:
        pulse.watch()
        host, port = server.sockets[0].getsockname()[:2]
        async with connect(
            f"ws://{host}:{port}", create_connection=WatchedConnection, ping_interval=None, proxy=None
        ) as connection:
            before = pulse.felt_at
            assert before > 0
            await asyncio.wait_for(await connection.ping(), 5)
            assert before < pulse.felt_at <= monotonic()
            assert 0 < pulse.slowest_pong_s < 5
    assert other.felt_at == 0.0


async def test_a_connection_that_nobody_watches_works_as_ever() -> None:
    async with (
        serve(silent, "127.0.0.1", 0) as server,
        connect(
            "ws://{}:{}".format(*server.sockets[0].getsockname()[:2]),
            create_connection=WatchedConnection,
            proxy=None,
        ) as connection,
    ):
        await asyncio.wait_for(await connection.ping(), 5)
