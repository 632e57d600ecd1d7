"""The response time against what the caller measures: from the last loud packet out to the first audible one in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import aiohttp
import av
import numpy as np

from agent.emulator import Emulator, Play, Turn
from agent.media.inbound import PacketInlet
from agent.media.rtp import RtpPacket
from agent.media.tap.audio import tap_audio
from signaling.client.caller import Caller, Microphone, call_service
from tests.support.line import MIC_HZ, VOICE_HZ, Line, on_line
from tests.support.service import ServiceFactory
from tests.support.tones import tone

OPUS = {96: "opus"}
LOUD = 1000
NEAR_S = 0.045  # two packets, and what a busy machine adds


class Timed(Microphone):
    """Notes when it last handed over something loud."""

    loud_at = 0.0

    async def recv(self) -> av.AudioFrame:
        frame = await super().recv()
        if np.abs(frame.to_ndarray().astype(int)).max() > LOUD:
            self.loud_at = asyncio.get_running_loop().time()
        return frame


@dataclass
class InboundAudio:
    """Notes when something audible came, packet by packet: aiortc itself would add its jitter buffer."""

    at: list[float] = field(default_factory=list)
    inlet: PacketInlet = field(default_factory=lambda: PacketInlet(OPUS))

    def take(self, packet: RtpPacket) -> None:
        now = asyncio.get_running_loop().time()
        if any(np.abs(pcm.astype(int)).max() > LOUD for pcm in self.inlet.push(packet, now)):
            self.at.append(now)

    def first_after(self, moment: float) -> float:
        return next(at for at in self.at if at > moment)


@dataclass
class Measured:
    line: Line
    microphone: Timed
    audio: InboundAudio

    @property
    def responses(self) -> list[dict[str, Any]]:
        return self.line.datas("agent-responded")

    async def say(self, seconds: float) -> None:
        self.microphone.play(tone(500, MIC_HZ, seconds))
        await self.microphone.played()

    async def hear_a_second(self) -> None:
        """Wait until the agent has been heard for so much longer."""
        wanted = len(self.audio.at) + 50
        async with asyncio.timeout(10):
            while len(self.audio.at) < wanted:  # noqa: ASYNC110  a packet raises no event
                await asyncio.sleep(0.02)


@asynccontextmanager
async def measured(**options: Any) -> AsyncIterator[Measured]:
    async with on_line(**options) as line, call_service(line.url, microphone=(microphone := Timed())) as caller:
        audio = InboundAudio()
        assert tap_audio(caller.pc.getTransceivers()[0].receiver, audio.take)
        await caller.message("bot-ready")
        yield Measured(Line(caller, line.emulator, line.url), microphone, audio)


async def info(caller: Caller) -> dict[str, Any]:
    assert caller.location is not None
    async with aiohttp.ClientSession() as http, http.get(caller.location) as response:
        body: dict[str, Any] = await response.json()
        return body


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{url}metrics") as response:
        text = await response.text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


async def test_the_figure_is_what_the_caller_measures_and_is_the_same_everywhere() -> None:
    async with measured(answer_s=0.4) as call:
        real_s = []
        for number in range(1, 6):
            await call.say(0.6)
            await call.line.counted("agent-responded", number)
            real_s.append(call.audio.first_after(call.microphone.loud_at) - call.microphone.loud_at)
            await call.line.counted("bot-stopped-speaking", number)
        told = [response["response_ms"] for response in call.responses]
        apart_s = [abs(told_ms / 1000 - real) for told_ms, real in zip(told, real_s, strict=True)]
        assert median(apart_s) < NEAR_S, (told, real_s)
        assert median(real_s) > 0.3  # the server waits for silence, though not for the level's hangover of 0.6 s
        now = await info(call.line.caller)
        assert (now["responses"], now["response_ms"]) == (5, told[-1])
        assert not any(response["typed"] for response in call.responses)
        assert await metric(call.line.url, "talkspurt_response_seconds_count") == 5
        assert abs(await metric(call.line.url, "talkspurt_response_seconds_sum") - sum(told) / 1000) < 1e-6


async def test_after_a_barge_in_it_counts_from_the_end_of_the_new_words() -> None:
    async with measured(answer_s=8.0) as call:
        await call.say(0.6)
        await call.line.counted("agent-responded", 1)
        apart_s = []
        for number in range(1, 4):
            await call.hear_a_second()
            await call.say(1.0)
            await call.line.counted("agent-responded", number + 1)
            assert call.line.count("bot-interrupted") == number
            told_s = call.responses[-1]["response_ms"] / 1000
            real_s = call.audio.first_after(call.microphone.loud_at + 0.1) - call.microphone.loud_at
            apart_s.append(abs(told_s - real_s))
        assert median(apart_s) < NEAR_S, apart_s


def faint_at_first(_turn: Turn) -> tuple[Play, ...]:
    return (Play(np.concatenate((tone(VOICE_HZ, 24_000, 0.5, amplitude=5), tone(VOICE_HZ, 24_000, 0.5)))),)


async def test_the_silence_that_an_answer_begins_with_counts_as_waiting() -> None:
    async with measured(on_turn=faint_at_first) as call:
        asked = asyncio.get_running_loop().time()
        call.line.caller.type("hello")
        await call.line.counted("agent-responded", 1)
        (told,) = call.responses
        assert told["typed"]
        assert abs(told["response_ms"] / 1000 - (call.audio.first_after(asked) - asked)) < NEAR_S
        assert told["response_ms"] >= 500
        assert call.line.kinds().index("bot-started-speaking") < call.line.kinds().index("agent-responded")


async def test_an_agent_that_writes_answers_with_its_first_words(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service(model="offline-demo", audio_output=False) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        told = await caller.message("server-message", lambda data: data["type"] == "agent-responded")
        assert 0 < told["response_ms"] < 5000
        assert emulator.sessions[0].sent_kinds["audio"] == 0


async def test_a_greeting_answers_nobody(service: ServiceFactory) -> None:
    async with service(initial_message="hello") as url, call_service(url) as caller:
        await caller.message("bot-stopped-speaking", timeout_s=15)
        assert (await info(caller))["response_ms"] is None
        assert await metric(url, "talkspurt_response_seconds_count") == 0
