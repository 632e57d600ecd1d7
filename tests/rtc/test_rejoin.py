"""A caller whose network is gone connects anew: the same call, the same Live session, and nothing said is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp
import numpy as np

from agent import Agent
from agent.emulator import Play, Turn
from agent.media.fir import Pcm
from signaling.client.caller import Caller, call_service
from tests.support.http import OFFER, SDP, metric, problem
from tests.support.line import FAST, TRUSTING, on_line, says
from tests.support.tones import peak_hz, rms, tone

STEP_S = 0.4
STEPS = 20
SETTINGS = {"ice_grace_s": 60.0}


def pitch_hz(step: int) -> float:
    return 400.0 + 100 * step


def scale(_turn: Turn) -> tuple[Play, ...]:
    """Answer with rising tones, so that each moment of the answer can be told from all others."""
    return (Play(np.concatenate([tone(pitch_hz(step), 24_000, STEP_S) for step in range(STEPS)])),)


def steps_heard(pcm: Pcm, rate_hz: int) -> list[int]:
    """Return which tones were heard, in order."""
    window = int(rate_hz * STEP_S / 4)
    heard = []
    for start in range(0, len(pcm) - window + 1, window):
        part = pcm[start : start + window]
        if rms(part) > 2000:
            heard.append(round((peak_hz(part, rate_hz) - 400) / 100))
    return [step for step, count in ((step, heard.count(step)) for step in dict.fromkeys(heard)) if count > 1]


async def cut(caller: Caller) -> None:
    """Let the caller's machine disappear: no packet leaves any more, and nobody said goodbye."""
    await caller.pc.getSenders()[0].transport.transport._connection.close()


async def speaking(caller: Caller, step: int) -> None:
    """Wait until the agent has said so much."""
    await caller.until(lambda: step in steps_heard(caller.heard_pcm(), caller.heard_rate_hz), timeout_s=20)


async def test_what_the_agent_was_saying_goes_on_after_the_network_was_lost() -> None:
    async with on_line(settings=SETTINGS, on_turn=scale) as line:
        first = line.caller
        first.type("go")
        await speaking(first, 4)
        await cut(first)
        heard_before = steps_heard(first.heard_pcm(), first.heard_rate_hz)
        await asyncio.sleep(2.0)  # what is said now reaches nobody
        asked_at = time.monotonic()
        async with call_service(line.url, location=first.location, hang_up=False) as second:
            await second.until(lambda: any(rms(frame) > 2000 for frame in second.heard), timeout_s=20)
            print(f"audio back {(time.monotonic() - asked_at) * 1000:.0f} ms after the new offer")
            await speaking(second, STEPS - 1)
            heard_after = steps_heard(second.heard_pcm(), second.heard_rate_hz)
        assert heard_after[0] <= heard_before[-1] + 1, "something was never heard"
        assert heard_after[0] >= heard_before[-1] - 2, "much is said twice"
        assert heard_after == list(range(heard_after[0], STEPS)), "the rest is not whole"
        assert len(line.emulator.sessions) == 1
        assert second.location == first.location


async def test_a_client_that_connects_anew_is_told_what_happened_meanwhile() -> None:
    """It need not say client-ready again, and is not greeted again; if it says so, it is answered."""
    agent = Agent(greeting="Welcome back, dear caller.")
    async with (
        on_line(**FAST, settings={**SETTINGS, **TRUSTING}, definition=agent) as line,
        aiohttp.ClientSession() as http,
    ):
        first = line.caller
        assert first.location is not None
        await says(first, "Welcome")
        await cut(first)
        first_told = len(first.messages)
        said = {"text": "Your taxi is here."}
        async with http.post(f"{first.location}/say", json=said) as response:
            assert response.status == 202
        await until(lambda: turns(http, first.location, 2))
        async with call_service(line.url, location=first.location, hang_up=False) as second:
            await says(second, "taxi")
            assert first_told == len(first.messages), "the first one was still connected"
            kinds = [message["type"] for message in second.messages]
            assert "bot-ready" not in kinds
            assert "bot-llm-started" in kinds, "what was sent into the void is lost"
            second.type("what is twelve plus thirty")
            await says(second, "42")
            second.send("client-ready", {"version": "2.1.0"}, message_id="again")
            ready = await second.message("bot-ready")
            assert ready["about"]["library"] == "talkspurt"
            told = [m["data"] for m in (*first.messages, *second.messages) if m["type"] == "bot-output"]
            assert len({each["segment_id"] for each in told if "Welcome" in each["text"]}) == 1, "greeted twice"
        assert len(line.emulator.sessions) == 1


async def test_the_caller_is_heard_over_each_connection() -> None:
    """And the counters go on counting."""
    async with on_line(settings=SETTINGS) as line, aiohttp.ClientSession(line.url) as http:
        await line.hears()
        before = await metric(http, "talkspurt_inbound_packets_total")
        await cut(line.caller)
        location, session = line.caller.location, line.emulator.sessions[0]
        for connection in range(2):
            async with call_service(line.url, location=location, hang_up=False) as caller:
                caller.microphone.play(tone(1000, 48_000, 1.0))
                await line.emulator.wait_for(lambda: peak_hz(session.audio[-8000:], 16_000) == 1000)
                caller.microphone.play(tone(600, 48_000, 1.0))
                await line.emulator.wait_for(lambda: peak_hz(session.audio[-8000:], 16_000) == 600)
                count = await metric(http, "talkspurt_inbound_packets_total")
                assert count > before, connection
                before = count
                if connection == 0:
                    await cut(caller)
        assert await metric(http, "talkspurt_calls_started_total") == 1
        assert len(line.emulator.sessions) == 1


async def test_an_offer_that_cannot_be_used_changes_nothing() -> None:
    async with on_line(settings=SETTINGS) as line, aiohttp.ClientSession(line.url) as http:
        async with http.post("/whip/rtc_unknown", data="v=0", headers=SDP) as response:
            assert response.status == 404
        async with http.post(str(line.caller.location), data="v=0", headers=SDP) as response:
            assert response.status == 422
            assert "audio" in str((await problem(response))["detail"])
        async with http.post(str(line.caller.location), json={}) as response:
            assert response.status == 415
        await line.hears()


async def test_a_connection_that_never_comes_about_ends_the_call_as_lost() -> None:
    settings = {"ice_grace_s": 3.0, "connect_timeout_s": 1.0}
    async with on_line(settings=settings) as line, aiohttp.ClientSession(line.url) as http:
        await cut(line.caller)
        async with http.post(str(line.caller.location), data=OFFER, headers=SDP) as response:
            assert response.status == 201
            assert response.headers["Location"] in str(line.caller.location)
        ended = 'talkspurt_calls_ended_total{reason="ice_lost"}'
        await until(lambda: has_metric(http, ended))


async def turns(http: aiohttp.ClientSession, location: str | None, count: int) -> bool:
    async with http.get(str(location)) as response:
        return bool((await response.json())["turns"] >= count)


async def has_metric(http: aiohttp.ClientSession, name: str) -> bool:
    return await metric(http, name) > 0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110  it asks over HTTP
            await asyncio.sleep(0.05)
