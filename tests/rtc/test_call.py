"""aiortc against the service on this machine's own address: what the model hears, what the caller hears."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from agent.emulator import Emulator, HookedSession, Hooks, Moment, Play, Raw, Turn, message, running_emulator
from agent.live.config import LiveEndpoint
from agent.media.fir import Pcm
from agent.settings import Settings
from signaling.app import running
from signaling.client.caller import call_service
from signaling.webrtc.peer import close_peer
from tests.support.service import ServiceFactory, service_for
from tests.support.tones import peak_hz, rms, tone

STORY = "tell me a long story"


async def test_typed_text_is_answered_aloud(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        ready = await caller.message("bot-ready")
        assert ready["about"]["offline_demo"] is True
        caller.type("what is twelve plus thirty")
        await caller.message("bot-stopped-speaking", timeout_s=15)
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert "42" in said["text"]
        assert rms(caller.heard_pcm()) > 300
        kinds = [m["type"] for m in caller.messages]
        assert kinds.index("bot-llm-started") < kinds.index("bot-started-speaking")
        assert kinds.index("bot-started-speaking") < kinds.index("bot-stopped-speaking")


async def test_the_agents_state_is_told_whenever_it_changes(service: ServiceFactory) -> None:
    """That includes tools, and clients whose channel opens after the session was set up."""
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is the weather in Paris")
        await caller.message("bot-output", lambda data: "degrees" in data["text"])
        ended = len(caller.messages)
        await caller.message(
            "server-message", lambda data: data.get("state") == "listening", after=ended, timeout_s=30
        )
        told = [m["data"]["state"] for m in caller.messages if (m.get("data") or {}).get("type") == "agent-state"]
        assert told[:3] == ["listening", "thinking", "speaking"]
        assert told[-1] == "listening"
        assert all(before != after for before, after in itertools.pairwise(told))
        kinds = [m["type"] for m in caller.messages]
        assert kinds.index("bot-ready") < kinds.index("server-message")


async def test_the_model_hears_the_caller(service: ServiceFactory, emulator: Emulator) -> None:
    """The tone arrives as that tone, and as much time arrives as has passed."""
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.microphone.play(tone(1000, 48_000, 2.0))
        await caller.microphone.played()
        session = emulator.sessions[0]
        await emulator.wait_for(lambda: session.audio_samples_in >= 2.0 * 16_000)
        assert session.audio_rate_hz == 16_000
        heard = session.audio
        loud = np.flatnonzero(np.abs(heard.astype(int)) > 1000)
        speech = heard[loud[0] + 1600 : loud[-1] - 1600]
        assert abs(peak_hz(speech, 16_000) - 1000) < 5
        assert 1.5 * 16_000 < loud[-1] - loud[0] < 2.2 * 16_000


async def test_interruption_by_voice(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type(STORY)
        await caller.message("bot-started-speaking")
        await caller.until(lambda: sum(rms(frame) > 300 for frame in caller.heard) > 40)
        rng = np.random.default_rng(1)
        caller.microphone.play((rng.normal(0, 4000, 48_000)).astype(np.int16))
        cut = await caller.message("bot-interrupted")
        assert cut["heard_ms"] > 0
        assert cut["dropped_ms"] > 0
        final = await caller.message("bot-output", lambda data: data["interrupted"])
        assert final["text"]
        assert final["unheard_text"]
        started = [m for m in caller.messages if m["type"] == "user-started-speaking"]
        assert started


async def test_silence_follows_an_interruption(service: ServiceFactory) -> None:
    """Queued speech is not heard: the line is silent until the next answer."""
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type(STORY)
        await caller.message("bot-started-speaking")
        await caller.until(lambda: len(caller.heard) > 50)
        frames = len(caller.heard)
        caller.type("what is one plus one")
        await caller.message("bot-interrupted")
        await caller.message("bot-output", lambda data: "2" in data["text"] and not data["interrupted"])
        await caller.message("bot-stopped-speaking", after=len(caller.messages), timeout_s=15)
        await caller.until(lambda: rms(np.concatenate(caller.heard[-10:])) < 20)
        assert len(caller.heard) - frames < 50 * 12  # 20 s of story are gone


async def test_a_tool_is_called_and_its_result_spoken(service: ServiceFactory, emulator: Emulator) -> None:
    async with service(tool_reports="full") as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is the weather in Paris")
        called = await caller.message("llm-function-call-in-progress")
        assert called["function_name"] == "get_weather"
        assert called["arguments"] == {"city": "Paris"}
        done = await caller.message("llm-function-call-stopped")
        assert done["result"]["output"]["made_up"] is True
        await caller.message("bot-output", lambda data: "degrees" in data["text"])
        assert len(emulator.sessions[0].tool_results) == 1


async def test_hang_up_by_the_caller_ends_the_session(service: ServiceFactory, emulator: Emulator) -> None:
    async with service() as url:
        async with call_service(url) as caller:
            await caller.message("bot-ready")
        await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=3)


async def test_a_caller_who_just_leaves(service: ServiceFactory, emulator: Emulator) -> None:
    """There is no DELETE: the closed DTLS connection ends the call."""
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        await caller.pc.close()
        await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=3)


async def test_hang_up_over_the_data_channel(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.send("disconnect-bot")
        farewell = await caller.message("server-message", lambda data: data["type"] == "call-ended")
        assert farewell["reason"] == "hung_up"
        await caller.ended(timeout_s=5)


async def test_shutdown_says_goodbye(service: ServiceFactory, emulator: Emulator) -> None:
    async with AsyncExitStack() as stack:
        stopping = AsyncExitStack()
        url = await stopping.enter_async_context(service())
        caller = await stack.enter_async_context(call_service(url, hang_up=False))
        await caller.message("bot-ready")
        await stopping.aclose()
        farewell = await caller.message("server-message", lambda data: data["type"] == "call-ended")
        assert farewell["reason"] == "shutdown"
        assert farewell["fault"] == "operator"
        assert not emulator.sessions[0].open


class Refusing(Hooks):
    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.CONNECTED:
            await session.close(1007, "The model does not exist.")


class Losing(Hooks):
    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.TURN_STARTED:
            await session.close(1011, "Internal error.")


class Mute(Hooks):
    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.SETUP_RECEIVED:
            await asyncio.Event().wait()


async def _ending(hooks: type[Hooks], **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fatal error and the farewell of a call whose Live session goes wrong."""
    async with (
        running_emulator(hooks=hooks) as emulator,
        service_for(emulator, **changes) as url,
        call_service(url, hang_up=False) as caller,
    ):
        if hooks is Losing:
            await caller.message("bot-ready")
            caller.type("hello")
        error = await caller.message("error", lambda data: data["fatal"])
        return error, await caller.message("server-message", lambda data: data["type"] == "call-ended")


async def test_a_refused_session_says_whose_fault_it_was() -> None:
    error, farewell = await _ending(Refusing)
    assert "The model does not exist." in error["error"]
    assert farewell["reason"] == "live_refused"
    assert farewell["fault"] == "operator"


async def test_a_lost_session_says_whose_fault_it_was() -> None:
    error, farewell = await _ending(Losing, recovery_s=0)
    assert "1011" in error["error"]
    assert farewell["reason"] == "live_lost"
    assert farewell["fault"] == "live"


async def test_set_up_has_a_time_limit() -> None:
    error, farewell = await _ending(Mute, setup_timeout_s=0.3, recovery_s=0)
    assert "0.3 s" in error["error"]
    assert farewell["fault"] == "live"


async def test_a_server_that_is_not_there() -> None:
    endpoint = LiveEndpoint("test-key", "https://127.0.0.1:9")
    async with running(Settings(port=0, recovery_s=0), endpoint) as url, call_service(url, hang_up=False) as caller:
        farewell = await caller.message("server-message")
        assert farewell["reason"] == "live_lost"
        assert farewell["fault"] == "network"


def _audio(pcm: Pcm, rate_hz: int) -> dict[str, Any]:
    data = base64.b64encode(pcm.tobytes()).decode()
    return {"inlineData": {"mimeType": f"audio/pcm;rate={rate_hz}", "data": data}}


@pytest.mark.parametrize("rate_hz", [24_000, 16_000, 48_000])
async def test_all_parts_of_a_message_are_heard_at_any_rate(rate_hz: int) -> None:
    parts = [_audio(tone(700, rate_hz, 0.5), rate_hz) for _ in range(3)]
    content = {"modelTurn": {"role": "model", "parts": parts}}

    def script(_turn: Turn) -> tuple[Raw, ...]:
        return (Raw(message("audio", {"serverContent": content})),)

    async with (
        running_emulator(on_turn=script) as emulator,
        service_for(emulator) as url,
        call_service(url) as caller,
    ):
        await caller.message("bot-ready")
        caller.type("play")
        await caller.message("bot-stopped-speaking")
        await caller.until(lambda: rms(np.concatenate(caller.heard[-10:])) < 20)
        heard = caller.heard_pcm()
        loud = np.flatnonzero(np.abs(heard.astype(int)) > 2000)
        assert (loud[-1] - loud[0]) / 48_000 == pytest.approx(1.5, abs=0.1)
        assert abs(peak_hz(heard[loud[0] : loud[-1]], 48_000) - 700) < 5


async def test_audio_in_the_message_that_interrupts_is_not_heard() -> None:
    """`interrupted` and a chunk of the same generation in one message: only the next generation is heard."""
    story, late, answer = tone(400, 24_000, 8.0), tone(1500, 24_000, 1.0), tone(3000, 24_000, 1.0)

    def script(turn: Turn) -> tuple[Play | Raw, ...]:
        if turn.text == "story":
            return (Play(story),)
        return (Play(answer),)

    class LateChunks(Hooks):
        async def before_send(self, session: HookedSession, message_: Any) -> Any:
            if message_.kind != "interrupted":
                return message_
            content = {"interrupted": True, "modelTurn": {"parts": [_audio(late, 24_000)]}}
            await session.send(message("interrupted", {"serverContent": content}))
            await session.send(
                message("audio", {"serverContent": {"modelTurn": {"parts": [_audio(late, 24_000)]}}})
            )
            return None

    async with (
        running_emulator(on_turn=script, hooks=LateChunks) as emulator,
        service_for(emulator) as url,
        call_service(url) as caller,
    ):
        await caller.message("bot-ready")
        caller.type("story")
        await caller.message("bot-started-speaking")
        await caller.until(lambda: len(caller.heard) > 50)
        after = len(caller.messages)
        caller.type("answer")
        await caller.message("bot-interrupted")
        await caller.message("bot-started-speaking", after=after)
        await caller.message("bot-stopped-speaking", after=len(caller.messages))
        await caller.until(lambda: rms(np.concatenate(caller.heard[-10:])) < 20)
        heard = caller.heard_pcm()
        assert band_power(heard, 3000) > 100 * band_power(heard, 1500)
        assert band_power(heard, 400) > 100 * band_power(heard, 1500)


def band_power(pcm: Pcm, frequency_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / 48_000)
    return float(spectrum[np.abs(hz - frequency_hz) < 40].sum())


async def test_a_caller_who_only_speaks(service: ServiceFactory, emulator: Emulator) -> None:
    """A WHIP publisher (sendonly) is heard, though it will not hear the agent."""
    async with service() as url, call_service(url, listens=False) as caller:
        await caller.message("bot-ready")
        caller.microphone.play(tone(500, 48_000, 0.5))
        await emulator.wait_for(lambda: emulator.sessions[0].audio_samples_in > 8000)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722"])
async def test_other_codecs(service: ServiceFactory, emulator: Emulator, codec: str) -> None:
    async with service() as url, call_service(url, codec=codec) as caller:
        await caller.message("bot-ready")
        caller.microphone.play(tone(1000, 48_000, 1.0))
        await caller.microphone.played()
        await emulator.wait_for(lambda: emulator.sessions[0].audio_samples_in > 20_000)
        heard = emulator.sessions[0].audio
        loud = np.flatnonzero(np.abs(heard.astype(int)) > 1000)
        assert abs(peak_hz(heard[loud[0] : loud[-1]], 16_000) - 1000) < 5
        caller.type("what is one plus one")
        await caller.message("bot-stopped-speaking", timeout_s=15)
        assert rms(caller.heard_pcm()) > 200
        assert caller.heard_rate_hz == (16_000 if codec == "G722" else 8_000)


async def test_hostile_messages_do_no_harm(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        for text in (
            "",
            "{",
            "[]",
            "null",
            '{"label":"rtvi-ai"}',
            '{"label":"rtvi-ai","type":7,"data":[1]}',
            "x" * 60_000,
        ):
            caller.send_text(text)
        caller.send("send-text", {"content": 5}, "a7")
        error = await caller.until(
            lambda: next((m for m in caller.messages if m["type"] == "error-response" and m["id"] == "a7"), None)
        )
        assert "content" in error["data"]["error"]
        caller.type("what is one plus one")
        await caller.message("bot-output", lambda data: "2" in data["text"])


async def test_a_caller_whose_addresses_are_hidden_connects(service: ServiceFactory) -> None:
    """There are only `.local` candidates, and end-of-candidates: the caller's own checks make the pair."""
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    await pc.setLocalDescription(await pc.createOffer())
    offer = re.sub(r"(a=candidate:\S+ \d \S+ \d+) \S+", r"\1 4bf2.local", pc.localDescription.sdp)
    assert "a=end-of-candidates" in offer
    connected = asyncio.Event()
    pc.on("connectionstatechange", lambda: pc.connectionState == "connected" and connected.set())  # type: ignore[func-returns-value]
    headers = {"Content-Type": "application/sdp"}
    async with service() as url, aiohttp.ClientSession(url) as http:
        async with http.post("/whip", data=offer, headers=headers) as response:
            answer = await response.text()
        await asyncio.sleep(0.2)  # a caller on a slow line: its checks come after the answer was made
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(5):
            await connected.wait()
        await close_peer(pc)


async def test_a_lost_connection_is_the_networks_fault(service: ServiceFactory, emulator: Emulator) -> None:
    """The caller's machine disappears: no more packets come, and nobody said goodbye."""
    async with service(ice_grace_s=1.0) as url, call_service(url, hang_up=False) as caller:
        await caller.message("bot-ready")
        transport = caller.pc.getSenders()[0].transport.transport
        await transport._connection.close()  # the sockets only: no DTLS alert leaves
        await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=8)
        ended = 'talkspurt_calls_ended_total{reason="ice_lost"} 1.0'
        async with aiohttp.ClientSession(url) as http, asyncio.timeout(10):
            text = ""
            while ended not in text:
                await asyncio.sleep(0.05)
                text = await (await http.get("/metrics")).text()


class CancellingAtOnce(Hooks):
    async def before_send(self, session: HookedSession, message_: Any) -> Any:
        if message_.kind != "toolCall":
            return message_
        await session.send(message_)
        await session.send(message("toolCallCancellation", {"toolCallCancellation": {"ids": ["call-1"]}}))
        return None


async def test_a_tool_that_is_cancelled_at_once_is_reported() -> None:
    async with (
        running_emulator(hooks=CancellingAtOnce) as emulator,
        service_for(emulator) as url,
        call_service(url) as caller,
    ):
        await caller.message("bot-ready")
        caller.type("what is the weather in Paris")
        stopped = await caller.message("llm-function-call-stopped")
        assert stopped["cancelled"] is True
