"""Whoever ends a call waits until the last words were heard, and no longer than that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from agent import events
from agent.call.farewell import Farewell
from agent.call.ports import CallPorts
from agent.dialog.goodbye import GOODBYE_S, Words
from agent.media.playout import Playout
from tests.support.fake_call import let_pass, loop_time, run, settle


class Line:
    """The farewell of a call of which nothing else is there."""

    def __init__(self) -> None:
        self.playout = Playout()
        self.ended: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        ports = CallPorts(
            "c1",
            loop_time,
            act=lambda _outcomes: None,
            send=lambda _item: None,
            start=self._start,
            hang_up=lambda reason, _detail, _fault: self.ended.append(reason),
        )
        self.farewell = Farewell(ports, self.playout, writes=False)

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self.tasks.append(asyncio.create_task(work(), name=name))

    async def wait(self, words: Words, *, silence_s: float = 0.0) -> asyncio.Task[None]:
        waiting = asyncio.create_task(self.farewell.heard(words, silence_s=silence_s))
        await settle()
        return waiting

    async def happen(self, *happened: events.Event) -> None:
        for event in happened:
            self.farewell.note(event)
        await settle()


def test_what_is_queued_is_waited_for() -> None:
    async def scenario() -> None:
        line = Line()
        line.playout.push(np.ones(480, np.int16), generation=1)
        waiting = await line.wait("spoken")
        await line.happen(events.AgentStartedSpeaking(1))
        assert not waiting.done()
        line.playout.pull()
        await line.happen(events.AgentStoppedSpeaking(1))
        assert waiting.done()

    run(scenario())


def test_a_rest_that_is_queued_after_a_gap_is_waited_for() -> None:
    """The voice ran dry, and its last piece came together with the end: it is queued, and not sent yet."""

    async def scenario() -> None:
        line = Line()
        waiting = await line.wait("reply")
        await line.happen(
            events.GenerationStarted(1), events.AgentStartedSpeaking(1), events.AgentStoppedSpeaking(1)
        )
        line.playout.push(np.ones(480, np.int16), generation=1)
        await line.happen(events.GenerationCompleted(1), events.TurnCompleted(1, None))
        assert not waiting.done()
        await line.happen(events.AgentStartedSpeaking(1))
        line.playout.pull()
        await line.happen(events.AgentStoppedSpeaking(1))
        assert waiting.done()

    run(scenario())


def test_a_gateway_wants_silence_behind_the_words() -> None:
    async def scenario() -> None:
        line = Line()
        waiting = await line.wait("spoken", silence_s=0.3)
        await let_pass(0.2)
        await line.happen(events.AgentStartedSpeaking(1))
        await let_pass(5)
        assert not waiting.done()
        await line.happen(events.AgentStoppedSpeaking(1))
        await let_pass(0.2)
        assert not waiting.done()
        await let_pass(0.11)
        assert waiting.done()

    run(scenario())


def test_it_takes_no_longer_than_it_may() -> None:
    async def scenario() -> None:
        line = Line()
        waiting = await line.wait("turn")
        await let_pass(GOODBYE_S["turn"] - 0.1)
        assert not waiting.done()
        await let_pass(0.2)
        assert waiting.done()

    run(scenario())


def test_the_agent_hangs_up_once() -> None:
    async def scenario() -> None:
        line = Line()
        line.farewell.end_call()
        line.farewell.end_call()
        assert len(line.tasks) == 1
        await line.happen()
        assert line.ended == []
        await line.happen(events.GenerationStarted(1), events.TurnCompleted(1, None))
        assert line.ended == ["hung_up"]

    run(scenario())


def test_several_may_wait_at_once() -> None:
    async def scenario() -> None:
        line = Line()
        tool, service = await line.wait("spoken"), await line.wait("reply")
        await line.happen()
        assert tool.done()
        assert not service.done()
        await line.happen(
            events.GenerationStarted(1),
            events.AgentStartedSpeaking(1),
            events.TurnCompleted(1, None),
            events.AgentStoppedSpeaking(1),
        )
        assert service.done()

    run(scenario())
