"""A call without a caller's media, answered by the emulator: for what is typed, and what tools do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from agent import events
from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.clock import Clock, monotonic
from agent.emulator import Emulator, running_emulator
from agent.emulator.faults.kinds import Fault
from agent.live.client import live_client
from agent.settings import Settings
from agent.tools.declare import Tool
from signaling.dialects.rtvi import rtvi_messages
from tests.support.service import emulator_endpoint
from tests.survival.registry import saw

_Event = TypeVar("_Event", bound=events.Event)


class Talk:
    """A call, and what happened in it."""

    def __init__(self, call: Call, emulator: Emulator) -> None:
        self.call = call
        self.emulator = emulator
        self.events: list[events.Event] = []
        self._changed = asyncio.Event()
        call.observe(self._note)
        self.running = asyncio.create_task(call.run(None))

    @property
    def finished(self) -> list[events.ToolFinished]:
        return self.all(events.ToolFinished)

    @property
    def said(self) -> list[str]:
        """The agent's turns, in order."""
        turns = {event.turn_id: event.text for event in self.all(events.AgentTranscribed)}
        return list(turns.values())

    def all(self, kind: type[_Event]) -> list[_Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def count(self, kind: type[events.Event]) -> int:
        return len(self.all(kind))

    async def ask(self, text: str) -> str:
        """Type something and return the agent's answer."""
        await self._type(text)
        return self.all(events.AgentTranscribed)[-1].text

    async def use_tool(self, text: str) -> str:
        """Type something that calls a tool; return the tool's result as JSON when the agent has answered."""
        finished = len(self.finished)
        await self._type(text)
        await self.until(events.ToolFinished, finished + 1)
        return json.dumps(self.finished[-1].result)

    async def until(self, kind: type[events.Event], count: int = 1) -> None:
        await self.wait_for(lambda: self.count(kind) >= count)

    async def has_said(self, *wanted: str) -> None:
        """Wait until the agent has said all of that."""
        await self.wait_for(lambda: set(wanted) <= set(self.said))

    async def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so; it is asked after each event."""
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def _type(self, text: str) -> None:
        turns = self.count(events.TurnCompleted)
        self.call.type_text(text)
        await self.until(events.TurnCompleted, turns + 1)

    def _note(self, event: events.Event) -> None:
        self.events.append(event)
        saw({"type": kind, "data": data} for kind, data in rtvi_messages(event))
        self._changed.set()


@asynccontextmanager
async def emulating(*faults: Fault, **options: Any) -> AsyncIterator[Emulator]:
    """Run an emulator that answers faster than it would speak; at the end no client may have broken its rules.

    Args:
        faults: what goes wrong.
        options: further arguments of `running_emulator`.
    """
    options = {"pace": 50.0, "await_playback": False, "seed": 1, **options}
    async with running_emulator(faults=list(faults), **options) as emulator:
        yield emulator
        assert [violation for session in emulator.sessions for violation in session.violations] == []


@asynccontextmanager
async def talking_to(
    emulator: Emulator,
    settings: Settings | None = None,
    tools: Sequence[Tool] = (),
    greeting: str | None = None,
    **options: Any,
) -> AsyncIterator[Talk]:
    """Make one call to an emulator.

    Args:
        emulator: the Live server.
        settings: of the service.
        tools: of the agent.
        greeting: of the agent.
        options: further arguments of `Call`.
    """
    settings = settings or Settings()
    client = live_client(emulator_endpoint(emulator), settings)
    setup = AgentSetup.of(settings, tools, greeting=greeting)
    talk = Talk(Call("c1", client=client, setup=setup, **options), emulator)
    try:
        await talk.until(events.AgentReady)
        yield talk
    finally:
        talk.call.hang_up("hung_up", "The test is over.", "caller")
        await talk.running
        await client.aio.aclose()


@asynccontextmanager
async def calling(
    *tools: Tool,
    faults: Sequence[Fault] = (),
    settings: dict[str, Any] | None = None,
    greeting: str | None = None,
    clock: Clock = monotonic,
    **emulated: Any,
) -> AsyncIterator[Talk]:
    """Call an emulator of its own; at the end no tool's call may be unanswered.

    Args:
        tools: of the agent.
        faults: what goes wrong.
        settings: of the service.
        greeting: of the agent.
        clock: the call's.
        emulated: further arguments of `running_emulator`.
    """
    chosen = Settings(**{"close_timeout_s": 0.2, **(settings or {})})
    async with emulating(*faults, **emulated) as emulator:
        async with talking_to(emulator, chosen, tools=tools, greeting=greeting, clock=clock) as talk:
            yield talk
        await emulator.wait_for(lambda: not emulator.sessions[-1].open)
        called = [event.call_id for event in talk.all(events.ToolCalled)]
        assert sorted(called) == sorted(event.call_id for event in talk.finished)
