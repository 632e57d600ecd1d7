"""What stands around a parser that is part of a call: a loop, and a whole call without sockets behind it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

from google import genai
from google.genai import types
from google.genai.live import AsyncSession

from agent import events
from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.settings import Settings
from agent.tools.function import as_tool
from signaling.webrtc.candidates import CandidateGate
from signaling.webrtc.client_leg import ClientLeg

ROUNDS = 6  # of the loop, in which what one piece causes has happened


class World:
    """A loop for one input; what a task of it raises is the input's failure."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[Any]] = []
        self._failed: list[BaseException] = []
        self.loop.set_task_factory(self._make_task)
        self.loop.set_exception_handler(self._note)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run some work to its end."""
        return self.loop.run_until_complete(work)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run some work beside the others; it ends with the world, and its errors are told then."""
        return self.loop.create_task(work)

    def settle(self, rounds: int = ROUNDS) -> None:
        """Let happen what waits for nothing."""
        self.run(_let_pass(rounds))

    def end(self, expected: tuple[type[BaseException], ...] = ()) -> None:
        """Cancel what still runs, and raise what was raised in it."""
        try:
            tasks = [task for task in self._tasks if not task.done()]
            for task in tasks:
                task.cancel()
            self.run(_gathered(tasks))
        finally:
            self.loop.close()
        ended = [task.exception() for task in self._tasks if task.done() and not task.cancelled()]
        for error in (*self._failed, *ended):
            if error is not None and not isinstance(error, expected):
                raise error

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **named)
        self._tasks.append(task)
        return task

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._failed.append(error)


async def _let_pass(rounds: int) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


async def _gathered(tasks: Any) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def world(expected: tuple[type[BaseException], ...] = ()) -> Iterator[World]:
    """Yield a world that ends with the block; see `World.end`."""
    made = World()
    try:
        yield made
    finally:
        made.end(expected)


class LiveSocket:
    """Stands for the WebSocket to the Live server: takes everything, and says what it is told to."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def recv(self, decode: bool | None = None) -> str | bytes:
        return await self.incoming.get()

    async def send(self, _text: str) -> None:
        return None


CLIENTS = {vertex: genai.Client(vertexai=vertex, api_key="of-no-use") for vertex in (False, True)}


def client_for(socket: LiveSocket, *, vertex: bool = False) -> Any:
    """Return a client of the SDK whose sessions are real and have that socket."""

    @asynccontextmanager
    async def connect(**_config: Any) -> Any:
        yield AsyncSession(
            CLIENTS[vertex]._api_client,
            socket,  # type: ignore[arg-type]
            setup_complete=types.LiveServerSetupComplete(),
        )

    return SimpleNamespace(aio=SimpleNamespace(live=SimpleNamespace(connect=connect)))


async def get_weather(city: str, days: int = 1, details: dict[str, list[float]] | None = None) -> dict[str, Any]:
    """Say what the weather will be.

    Args:
        city: where.
        days: how many.
        details: whatever there is.
    """
    return {"city": city, "days": days, "details": details}


WEATHER = as_tool(get_weather)
SETTINGS = Settings.model_construct()


class HeldCall:
    """A call that runs, from its leg to the Live server's socket."""

    def __init__(self, around: World, *, vertex: bool = False) -> None:
        self.socket = LiveSocket()
        self.told: Counter[str] = Counter()
        self.world = around
        around.run(self._begin(vertex))
        around.settle()

    async def _begin(self, vertex: bool) -> None:
        self.call = Call(
            "c1",
            client=client_for(self.socket, vertex=vertex),
            setup=AgentSetup.of(SETTINGS, (WEATHER,)),
        )
        no_peer: Any = None
        gate = CandidateGate((), Counter())
        self.leg = ClientLeg(
            self.call, no_peer, SETTINGS, etag="", ufrags=frozenset(), gate=gate, opens_channel=True
        )
        self.call.observe(self._note)
        self.running = asyncio.ensure_future(self.call.run(None))

    def _note(self, event: events.Event) -> None:
        self.told[type(event).__name__] += 1

    def check(self) -> object:
        """Raise what ended the call, if it was an error; return which events there were."""
        if self.running.done() and not self.running.cancelled():
            ended = self.running.result()
            assert ended.reason != "internal_error"
        assert self.call.observers.errors == 0
        return frozenset(self.told)
