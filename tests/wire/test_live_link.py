"""Session after session against a server on this machine: the real SDK over TLS."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from agent.clock import monotonic
from agent.emulator import Emulator, HookedSession, Hooks, Moment, ServerMessage, running_emulator
from agent.emulator.faults.kinds import Close, DropTcp, Fault, GoAway, RefuseUpgrade, Stall, UnknownMessage
from agent.errors import LiveLost
from agent.live.client import live_client
from agent.live.config import SessionSetup
from agent.live.link import LiveLink
from agent.live.ports import LinkPorts
from agent.live.uplink import AgentChange, Audio, TypedText, Uplink
from agent.settings import Settings
from tests.support.line import tones_of
from tests.support.service import emulator_endpoint

CHANGE = AgentChange("You are a pirate.", None)


def connections() -> int:
    """Count what is in memory, garbage that waits for a collection included."""
    return sum(issubclass(type(each), ClientConnection) for each in gc.get_objects())


def link_to(
    emulator: Emulator, on_refused: Callable[[str, str], None] = lambda _what, _reason: None, **changes: Any
) -> tuple[LiveLink, asyncio.Semaphore]:
    """Return a link, and what is released with each session that takes over."""
    replaced = asyncio.Semaphore(0)
    ports = LinkPorts(
        on_ready=lambda: None,
        on_fact=lambda _fact: None,
        on_picture=lambda _picture: None,
        on_ending=lambda _time_left_s: None,
        on_ended=lambda _loss, _unsent: None,
        on_replaced=lambda _how, _told_turns: replaced.release(),
        on_forgotten=lambda: None,
        history=lambda _complete_only: [],
        is_quiet=lambda: True,
        on_refused=on_refused,
    )
    settings = Settings(**{"close_timeout_s": 0.2, **changes})
    client = live_client(emulator_endpoint(emulator), settings)
    setup = SessionSetup.of(settings)
    link = LiveLink(client, setup, ports, uplink=Uplink(), clock=monotonic, rng=random.Random(1))
    return link, replaced


@pytest.mark.parametrize(
    "end",
    [
        GoAway(at="turn_completed", nth="every", time_left_s=0.4),
        Close(at="turn_completed", nth="every"),
        DropTcp(at="turn_completed", nth="every"),
    ],
    ids=["left", "closed", "dropped"],
)
async def test_a_session_that_has_ended_leaves_no_garbage(end: Fault) -> None:
    """A connection has half a megabyte of buffers, and garbage is collected seldom (`signaling.app`)."""
    async with running_emulator(faults=[end], pace=50.0, await_playback=False) as emulator:
        link, replaced = link_to(emulator)
        gc.collect()
        gc.disable()
        before = connections()
        running = asyncio.create_task(link.run())
        try:
            for _ in range(3):
                link.uplink.put(TypedText("hello"))
                await asyncio.wait_for(replaced.acquire(), 10)
            await asyncio.sleep(0.1)  # the loop lets go of the last one's socket
            assert connections() - before <= 1
        finally:
            gc.enable()
            running.cancel()
            await asyncio.wait([running])


async def test_hanging_up_lets_go_of_a_server_that_has_stopped_reading() -> None:
    """Before Python 3.11.4 a timeout in a task that is being cancelled is none, so what it guards was left open."""
    async with running_emulator(faults=[Stall(at="turn_completed")], pace=50.0, await_playback=False) as emulator:
        link, _replaced = link_to(emulator)
        running = asyncio.create_task(link.run())
        link.uplink.put(TypedText("hello"))
        await emulator.wait_for(lambda: any(each.sent_kinds["turnComplete"] for each in emulator.sessions))
        link.uplink.put(TypedText("the last thing that it reads"))
        await emulator.wait_for(lambda: len(emulator.sessions[0].texts) == 2)
        connections = [each for each in gc.get_objects() if issubclass(type(each), ClientConnection)]  # no proxies
        open_ones = [each for each in connections if not closed(each)]
        assert open_ones
        running.cancel()
        await asyncio.wait([running])
        assert all(map(closed, open_ones))


def closed(connection: ClientConnection) -> bool:
    return bool(connection.transport.is_closing())


async def test_a_server_that_sends_everybody_away_at_once_is_not_stormed() -> None:
    async with running_emulator(faults=[GoAway(time_left_s=0.0)]) as emulator:
        link, replaced = link_to(emulator)
        running = asyncio.create_task(link.run())
        try:
            await asyncio.wait_for(replaced.acquire(), 10)
            await asyncio.sleep(1.0)
            assert 2 <= len(emulator.sessions) <= 6
        finally:
            running.cancel()
            await asyncio.wait([running])


class Unconfirmed(Hooks):
    """Only the first session is ever confirmed."""

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return None if message.kind == "setupComplete" and session.record.number > 1 else message


async def test_an_attempt_does_not_outlast_the_budget() -> None:
    lost = Close(at="turn_completed")
    async with running_emulator(faults=[lost], hooks=Unconfirmed, pace=50.0, await_playback=False) as emulator:
        link, _replaced = link_to(emulator, recovery_s=0.6, setup_timeout_s=60.0)
        link.uplink.put(TypedText("hello"))
        with pytest.raises(LiveLost, match="did not confirm the session"):
            await asyncio.wait_for(link.run(), 10)


class SlowSetup(Hooks):
    """Connecting takes as long as over a slow line."""

    async def at(self, session: HookedSession, moment: Moment) -> None:
        del session
        if moment is Moment.SETUP_RECEIVED:
            await asyncio.sleep(0.45)


async def test_over_a_slow_line_another_agent_takes_over_at_once() -> None:
    """Some silence is always on its way there when a handle comes: a wait for one without it would never end."""
    async with running_emulator(hooks=SlowSetup, pace=50.0, await_playback=False) as emulator:
        link, replaced = link_to(emulator, model="gemini-2.5-flash-native-audio")

        async def be_silent() -> None:
            while True:
                link.uplink.put(Audio(bytes(1280), speech=False))
                await asyncio.sleep(0.04)

        tasks = [asyncio.create_task(link.run()), asyncio.create_task(be_silent())]
        try:
            link.uplink.put(TypedText("hello"))
            await emulator.wait_for(lambda: bool(emulator.sessions) and bool(emulator.sessions[0].handles))
            link.change_agent(replace(link.setup, instructions="You are a pirate."), CHANGE)
            await asyncio.wait_for(replaced.acquire(), 5)
            assert [session.instruction for session in emulator.sessions][1:] == ["You are a pirate."]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@pytest.mark.parametrize("what", ["send", "both"])  # of a server that does not read, no close frame comes either
async def test_a_session_that_is_not_confirmed_is_tried_again_within_6_s(what: str) -> None:
    stall = Stall(session=1, at="setup_received", what=what)
    async with running_emulator(faults=[stall]) as emulator:
        link, _replaced = link_to(emulator, close_timeout_s=Settings().close_timeout_s)
        running = asyncio.create_task(link.run())
        try:
            await emulator.wait_for(lambda: len(emulator.sessions) == 2)
            first, second = emulator.sessions
            assert 4.0 < second.connected_s - first.connected_s < 6.0
            await emulator.wait_for(lambda: second.ready_s is not None)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_busy_server_is_not_asked_again_at_once() -> None:
    busy = RefuseUpgrade(status=503, times=3)
    async with running_emulator(faults=[busy]) as emulator:
        link, _replaced = link_to(emulator)
        running = asyncio.create_task(link.run())
        try:
            await emulator.wait_for(lambda: len(emulator.sessions) == 4)
            times_s = [session.connected_s for session in emulator.sessions]
            first, second, third = (after - before for before, after in pairwise(times_s))
            assert 0.1 <= first <= 0.7
            assert 0.5 <= second <= 1.2
            assert 1.0 <= third <= 2.2
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_handle_that_comes_in_the_middle_of_a_turn_is_not_used() -> None:
    body = {"sessionResumptionUpdate": {"newHandle": "middle", "resumable": True}}
    faults: list[Fault] = [
        UnknownMessage(session=1, at="turn_started", nth=2, after_s=0.1, body=body),
        DropTcp(session=1, at="turn_started", nth=2, after_s=0.3),
    ]
    async with running_emulator(faults=faults, on_turn=tones_of(1.0)) as emulator:
        link, replaced = link_to(emulator)
        running = asyncio.create_task(link.run())
        try:
            link.uplink.put(TypedText("one"))
            await emulator.wait_for(lambda: any(each.sent_kinds["turnComplete"] for each in emulator.sessions))
            link.uplink.put(TypedText("two"))
            await asyncio.wait_for(replaced.acquire(), 10)
            await emulator.wait_for(lambda: list(emulator.sessions[1].texts) == ["two"])  # asked once more
            assert emulator.sessions[1].handle in emulator.sessions[0].handles
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_usage_that_does_not_tell_the_context_is_no_sign_of_a_lost_one() -> None:
    nothing = {"usageMetadata": {"responseTokenCount": 7}}
    faults: list[Fault] = [
        DropTcp(session=1, at="turn_completed"),
        UnknownMessage(session=2, at="turn_started", body=nothing),
    ]
    async with running_emulator(faults=faults, pace=50.0, await_playback=False) as emulator:
        link, replaced = link_to(emulator)
        running = asyncio.create_task(link.run())
        try:
            link.uplink.put(TypedText("with many words " * 100))
            await asyncio.wait_for(replaced.acquire(), 10)
            link.uplink.put(TypedText("two"))
            await emulator.wait_for(lambda: emulator.sessions[1].sent_kinds["turnComplete"] > 0)
            await asyncio.sleep(0.2)
            assert len(emulator.sessions) == 2
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_what_the_sdk_does_not_take_ends_no_call() -> None:
    refused = []
    async with running_emulator(pace=50.0, await_playback=False) as emulator:
        link, _replaced = link_to(emulator, lambda what, reason: refused.append((what, reason)))
        link.uplink.put(AgentChange(None, [{"name": ["no name"]}]))
        link.uplink.put(TypedText("hello"))
        running = asyncio.create_task(link.run())
        try:
            await emulator.wait_for(
                lambda: bool(emulator.sessions) and list(emulator.sessions[0].texts) == ["hello"]
            )
            assert refused == [("agent_change", "ValidationError")]
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
