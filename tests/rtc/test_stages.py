"""The stages of a response against taps outside the service: RTP at the caller's socket, messages at the emulator.

Other programs may hold this one up, so most is compared with the taps' own times, and what is exact only has to be
so in the quietest turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from prometheus_client.openmetrics import parser

from agent.author.agent import Agent
from agent.emulator import HookedSession, Hooks, Play, Turn
from agent.emulator.model.turn import CallFunction
from agent.media.inbound import PacketInlet
from agent.media.level import SpeechLevel, is_audible
from agent.media.rtp import RtpPacket, parse_rtp
from agent.media.tap.audio import tap_audio
from tests.support.line import MIC_HZ, VOICE_HZ, Line, on_line
from tests.support.tones import tone

parsed: Any = parser.text_string_to_metric_families
OPUS = {96: "opus"}
STAGES = ("uplink_ms", "model_ms", "tools_ms", "voice_ms", "downlink_ms")
EXACT_MS = 5.0
TURNS = 4
CATCH_UP_MS = 85.0  # packets that are up to 60 ms late still count, and the grid is 20 ms
TOOL_S = 0.25
SILENCE_S = 0.2


async def look_up() -> str:
    """Look it up."""
    await asyncio.sleep(TOOL_S)
    return "done"


def after_a_tool(turn: Turn) -> tuple[Play | CallFunction, ...]:
    """Call a tool, then begin the answer with silence."""
    if not turn.results:
        return (CallFunction("look_up", {}),)
    return (Play(np.concatenate((np.zeros(int(24_000 * SILENCE_S), np.int16), tone(VOICE_HZ, 24_000, 0.4)))),)


@dataclass
class Taps:
    """When what passed, by this machine's clock."""

    loud_out: list[float] = field(default_factory=list)
    "Packets of the caller in which speech is, at the caller's socket."
    loud_in: list[float] = field(default_factory=list)
    "Messages in which speech is, at the Live server."
    sound_out: list[float] = field(default_factory=list)
    "Messages with sound from the Live server."
    audible_in: list[float] = field(default_factory=list)
    "Packets of the agent that can be heard, at the caller's socket."
    packets_in: list[float] = field(default_factory=list)
    heard_level: SpeechLevel = field(default_factory=SpeechLevel)
    said_level: SpeechLevel = field(default_factory=SpeechLevel)
    said: PacketInlet = field(default_factory=lambda: PacketInlet(OPUS))
    heard: PacketInlet = field(default_factory=lambda: PacketInlet(OPUS))

    def caller_sends(self, data: bytes) -> None:
        now = time.monotonic()
        packet = parse_rtp(data)
        if packet is not None and sum(self.said_level.push(pcm) for pcm in self.said.push(packet, now)):
            self.loud_out.append(now)

    def caller_gets(self, packet: RtpPacket) -> None:
        now = time.monotonic()
        self.packets_in.append(now)
        if any(is_audible(pcm) and np.abs(pcm).max() > 300 for pcm in self.heard.push(packet, now)):
            self.audible_in.append(now)

    def hooks(self) -> Hooks:
        taps = self

        class Watching(Hooks):
            def received(self, record: Any, message: Any) -> None:
                if type(message).__name__ == "Audio" and taps.heard_level.push(np.frombuffer(message.pcm, "<i2")):
                    taps.loud_in.append(time.monotonic())

            async def before_send(self, session: HookedSession, message: Any) -> Any:
                if message.kind == "audio":
                    taps.sound_out.append(time.monotonic())
                return message

        return Watching()


@dataclass
class Tapped:
    line: Line
    taps: Taps

    async def turn(self, number: int) -> dict[str, float]:
        """Say something; return the stages as they were outside, in ms, and the whole."""
        taps, line = self.taps, self.line
        began = time.monotonic()
        line.caller.microphone.play(tone(500, MIC_HZ, 0.5))
        await line.caller.microphone.played()
        await line.counted("agent-responded", number)
        await line.counted("bot-stopped-speaking", number)
        await asyncio.sleep(0.3)
        sound = next(at for at in taps.sound_out if at > began)
        heard = next(at for at in taps.audible_in if at > sound)
        asked = max(at for at in taps.loud_out if began < at < sound)
        sent = max(at for at in taps.loud_in if began < at < sound)
        return {
            "whole": (heard - asked) * 1000,
            "uplink_ms": (sent - asked) * 1000,
            "server": (sound - sent) * 1000,
            "agent": (heard - sound) * 1000,
        }


@asynccontextmanager
async def tapped(**options: Any) -> AsyncIterator[Tapped]:
    taps = Taps()
    async with on_line(hooks=taps.hooks, ready=False, **options) as line:
        transceiver = line.caller.pc.getTransceivers()[0]
        assert tap_audio(transceiver.receiver, taps.caller_gets)
        transport: Any = transceiver.sender.transport
        send = transport._send_rtp

        async def send_and_note(data: bytes) -> None:
            taps.caller_sends(data)
            await send(data)

        transport._send_rtp = send_and_note
        await line.caller.message("bot-ready")
        yield Tapped(line, taps)


async def test_the_stages_add_up_to_what_is_seen_outside() -> None:
    async with tapped(answer_s=0.4) as call:
        apart: list[list[float]] = []
        for number in range(1, TURNS + 1):
            outside = await call.turn(number)
            told = call.line.datas("agent-responded")[-1]
            stages = told["stages"]
            assert abs(sum(stages.values()) - told["response_ms"]) < 0.6
            assert all(stages[name] >= 0 for name in STAGES)
            # Whatever holds this process up, the service saw the words after they left, and the answer left before
            # it came.
            assert told["response_ms"] <= outside["whole"] + EXACT_MS, (told, outside)
            assert stages["model_ms"] >= outside["server"] - EXACT_MS, (told, outside)
            agent_ms = stages["voice_ms"] + stages["downlink_ms"]
            apart.append(
                [
                    abs(sum(stages.values()) - outside["whole"]),
                    abs(stages["uplink_ms"] - outside["uplink_ms"]),
                    abs(stages["model_ms"] - outside["server"]),
                    abs(agent_ms - outside["agent"]),
                ]
            )
            assert stages["tools_ms"] == 0.0
        quietest = [min(each) for each in zip(*apart, strict=True)]
        assert max(quietest) < EXACT_MS, apart


async def test_tools_and_silence_are_stages_of_their_own() -> None:
    agent = Agent(instructions="You look things up.", tools=[look_up])
    async with tapped(on_turn=after_a_tool, definition=agent) as call:
        outside = await call.turn(1)
        (told,) = call.line.datas("agent-responded")
        stages = told["stages"]
        assert abs(sum(stages.values()) - told["response_ms"]) < 0.6
        assert stages["tools_ms"] >= TOOL_S * 1000 - 1
        assert stages["tools_ms"] + stages["model_ms"] <= outside["whole"] + EXACT_MS
        assert stages["model_ms"] + stages["tools_ms"] >= outside["server"] - EXACT_MS, (told, outside)
        assert stages["voice_ms"] >= SILENCE_S * 1000 - CATCH_UP_MS, (told, outside)


async def metrics(url: str, accept: str) -> tuple[str, str]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}metrics", headers={"Accept": accept}) as response:
        return response.headers["Content-Type"], await response.text()


async def test_the_call_its_metrics_and_its_events_say_the_same() -> None:
    agent = Agent(instructions="You look things up.", tools=[look_up])
    async with tapped(on_turn=after_a_tool, definition=agent) as call:
        line = call.line
        await call.turn(1)
        (told,) = line.datas("agent-responded")
        (set_up,) = line.datas("call-set-up")
        assert line.caller.location is not None
        async with aiohttp.ClientSession() as http, http.get(line.caller.location) as response:
            info = await response.json()
        assert info["response_stages"] == told["stages"]
        assert info["set_up_stages"] == set_up["stages"]
        assert set_up["stages"]["first_audio_ms"] is None
        assert all(set_up["stages"][name] >= 0 for name in ("answer_ms", "media_ms", "agent_ms"))

        line.caller.type("and again")
        await line.counted("bot-started-speaking", 2)
        await line.counted("agent-responded", 2)
        line.caller.send("client-message", {"t": "interrupt"})
        await line.counted("bot-interrupted", 1)
        await asyncio.sleep(0.2)
        kind, text = await metrics(line.url, "application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        families = {family.name: family for family in parsed(text)}

        def counts(name: str) -> dict[str, float]:
            return {
                "/".join(sample.labels.values()): sample.value
                for sample in families[f"talkspurt_{name}"].samples
                if sample.name.endswith("_count")
            }

        assert counts("response_seconds") == {"": 2}
        assert counts("response_stage_seconds") == {name.removesuffix("_ms"): 2 for name in STAGES}
        assert counts("call_setup_seconds") == {"answer": 1, "media": 1, "agent": 1}
        assert counts("tool_seconds") == {"look_up": 2}
        assert counts("flush_seconds") == {"": 1}
        traces = {
            sample.exemplar.labels["trace_id"]
            for family in families.values()
            for sample in family.samples
            if sample.exemplar is not None
        }
        assert traces == {info["trace_id"]}
        assert info["id"] not in text  # who knows it may end the call

        line.caller.send("disconnect-bot")
        await line.caller.ended()
        kind, text = await metrics(line.url, "text/plain")
        assert kind.startswith("text/plain")
        assert "trace_id" not in text
        assert "talkspurt_call_seconds_count 1.0" in text.splitlines()


def invented(turn: Turn) -> tuple[Play | CallFunction, ...]:
    if not turn.results:
        return (CallFunction(f"tool_{np.random.default_rng().integers(1 << 40)}", {}),)
    return (Play(tone(VOICE_HZ, 24_000, 0.2)),)


async def test_a_model_cannot_add_labels() -> None:
    async with on_line(on_turn=invented) as line:
        for number in range(1, 4):
            line.caller.type("hello")
            await line.counted("bot-stopped-speaking", number)
        _kind, text = await metrics(line.url, "text/plain")
        assert 'talkspurt_tool_seconds_count{tool="other"} 3.0' in text.splitlines()
        assert "tool_" not in text.replace("tool_seconds", "").replace("tool_calls", "").replace(
            "tool_finished", ""
        )


async def test_an_agent_that_begins_is_part_of_the_set_up() -> None:
    async with on_line(settings={"initial_message": "hello", "initial_message_delay_s": 0.0}) as line:
        await line.counted("bot-stopped-speaking", 1)
        assert line.caller.location is not None
        async with aiohttp.ClientSession() as http, http.get(line.caller.location) as response:
            info = await response.json()
        assert info["set_up_stages"]["first_audio_ms"] > 0
        _kind, text = await metrics(line.url, "text/plain")
        assert 'talkspurt_call_setup_seconds_count{stage="first_audio"} 1.0' in text.splitlines()
