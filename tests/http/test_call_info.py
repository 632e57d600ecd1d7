"""`GET` of a call says how it is going, and nothing of what was said in it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from agent.emulator import HookedSession, Hooks, Moment
from agent.emulator.faults.kinds import GoAway
from signaling.client.caller import Caller, call_service
from tests.support.line import on_line
from tests.support.service import ServiceFactory
from tests.support.tones import tone


async def info(caller: Caller) -> dict[str, Any]:
    assert caller.location is not None
    async with aiohttp.ClientSession() as http, http.get(caller.location) as response:
        assert response.status == 200
        body: dict[str, Any] = await response.json()
        return body


async def in_state(caller: Caller, state: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (now := await info(caller))["state"] != state:  # noqa: ASYNC110  it has to be asked
            await asyncio.sleep(0.02)
    return now


async def test_a_call_tells_how_it_goes(service: ServiceFactory) -> None:
    async with service(model="gemini-9-live") as url, call_service(url) as caller:
        ready = await caller.message("bot-ready")
        first = await in_state(caller, "listening")
        assert first["model"] == ready["about"]["model"] == "gemini-9-live"
        assert first["tools"] == ["get_weather"]
        assert first["session_id"] == ready["about"]["session_id"] == "emulator-1"
        assert (first["tool_calls"], first["tool_errors"], first["interruptions"]) == (0, 0, 0)
        assert (first["turns"], first["sessions"], first["connection"]) == (0, 1, "connected")
        caller.type("a secret word is twelve plus thirty")
        speaking = await in_state(caller, "speaking")
        assert speaking["turns"] == 2
        usage = await caller.message("server-message", lambda data: data["type"] == "usage-reported")
        done = await in_state(caller, "listening")
        assert done["usage"] == {"tokens": usage["tokens"], "cost_usd": usage["cost_usd"]}
        assert done["duration_s"] > first["duration_s"] > 0
        told = await caller.message("server-message", lambda data: data["type"] == "call-info")
        assert set(told) - {"type"} == set(done)
        assert (told["turns"], told["tools"]) == (2, ["get_weather"])
        assert first["duration_s"] < told["duration_s"]
        assert done["stats"]["heard_s"] > 0.5
        assert done["stats"]["inbound_packets"] > first["stats"]["inbound_packets"]
        assert done["stats"]["inbound_lost_packets"] == done["stats"]["inbound_concealed_s"] == 0
        assert "secret" not in str(done)


async def test_how_much_of_the_agents_voice_waits_is_told(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        assert (await info(caller))["queued_s"] == 0
        caller.type("tell me a long story")
        async with asyncio.timeout(15):
            while (await info(caller))["queued_s"] < 1:  # noqa: ASYNC110  it has to be asked
                await asyncio.sleep(0.1)
        caller.send("client-message", {"t": "interrupt"})
        await caller.message("bot-interrupted")
        assert (await info(caller))["queued_s"] == 0


def count(caller: Caller, kind: str) -> int:
    return sum(message["type"] == kind for message in caller.messages)


class Slow(Hooks):
    """The model answers when it is told to."""

    may_answer: asyncio.Event

    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.TURN_STARTED:
            await self.may_answer.wait()


async def test_an_agent_who_owes_an_answer_is_thinking() -> None:
    Slow.may_answer = asyncio.Event()
    async with on_line(hooks=Slow) as line:
        line.caller.type("hello")
        await in_state(line.caller, "thinking")
        Slow.may_answer.set()
        await in_state(line.caller, "speaking")


async def test_a_replaced_session_is_counted() -> None:
    async with on_line(answer_s=0.2, faults=[GoAway(after_s=0.2, time_left_s=1.0)]) as line:
        line.caller.microphone.play(tone(500, 48_000, 0.3))
        replaced = await line.told("session-replaced")
        now = await info(line.caller)
        assert now["sessions"] >= 2
        assert now["session_id"] == f"emulator-{now['sessions']}"
        assert replaced["session_id"] == "emulator-2"


async def test_tool_calls_and_interruptions_are_counted(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        for text in ("what is the weather in Rome", 'call get_weather {"town": 1}', "call nobody"):
            ended = len(caller.messages)
            caller.type(text)
            await caller.message("server-message", lambda data: data["type"] == "call-info", after=ended)
        await in_state(caller, "listening")
        for number in (1, 2):
            caller.type("tell me a long story")
            await in_state(caller, "speaking")
            caller.send("client-message", {"t": "interrupt"})
            await caller.until(lambda wanted=number: count(caller, "bot-interrupted") == wanted)  # type: ignore[misc]
        counts = await info(caller)
    called = count(caller, "llm-function-call-in-progress")
    assert called >= 2
    assert (counts["tool_calls"], counts["tool_errors"]) == (called, called - 1)
    assert counts["interruptions"] == 2
