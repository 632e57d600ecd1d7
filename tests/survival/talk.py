"""A call without a caller's media, answered by the emulator: for what is typed, and what tools do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agent import events
from agent.call.call import Call
from agent.clock import Clock, monotonic
from agent.emulator import Emulator, running_emulator
from agent.emulator.faults.kinds import Fault
from agent.live.client import live_client
from agent.live.config import LiveEndpoint
from agent.settings import Settings
from agent.tools.declare import Tool
from signaling.dialects.rtvi import rtvi_messages
from tests.survival.registry import saw


class Talk:
    """A call, and what happened in it."""

    def __init__(self, call: Call, emulator: Emulator) -> None:
        self.call = call
        self.emulator = emulator
        self.events: list[events.Event] = []
        self._changed = asyncio.Event()
        call.observe(self._note)

    @property
    def finished(self) -> list[events.ToolFinished]:
        return [event for event in self.events if isinstance(event, events.ToolFinished)]

    @property
    def said(self) -> list[str]:
        """The agent's turns, in order."""
        turns = {event.turn_id: event.text for event in self.events if isinstance(event, events.AgentTranscribed)}
        return list(turns.values())

    def count(self, kind: type[events.Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

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

    def _note(self, event: events.Event) -> None:
        self.events.append(event)
        saw({"type": kind, "data": data} for kind, data in rtvi_messages(event))
        self._changed.set()


@asynccontextmanager
async def calling(
    *tools: Tool,
    faults: Sequence[Fault] = (),
    settings: dict[str, Any] | None = None,
    greeting: str | None = None,
    clock: Clock = monotonic,
    **emulated: Any,
) -> AsyncIterator[Talk]:
    """Call the emulator; at the end nothing may be owed or broken.

    Args:
        tools: of the agent.
        faults: what goes wrong.
        settings: of the service.
        greeting: of the agent.
        clock: the call's.
        emulated: further arguments of `running_emulator`.
    """
    options = {"pace": 50.0, "await_playback": False, "seed": 1, **emulated}
    async with running_emulator(faults=list(faults), **options) as emulator:
        endpoint = LiveEndpoint("test-key", emulator.url, str(emulator.ca_file))
        chosen = Settings(**{"close_timeout_s": 0.2, **(settings or {})})
        client = live_client(endpoint, chosen)
        call = Call("c1", client=client, settings=chosen, tools=tools, greeting=greeting, clock=clock)
        talk = Talk(call, emulator)
        running = asyncio.create_task(call.run(None))
        try:
            await talk.until(events.AgentReady)
            yield talk
        finally:
            call.hang_up("hung_up", "The test is over.", "caller")
            await running
            await client.aio.aclose()
        await emulator.wait_for(lambda: not emulator.sessions[-1].open)
        assert [violation for session in emulator.sessions for violation in session.violations] == []
        called = [event.call_id for event in talk.events if isinstance(event, events.ToolCalled)]
        assert sorted(called) == sorted(event.call_id for event in talk.finished)
