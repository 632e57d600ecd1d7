"""What a client can ask for: push-to-talk, and silence from the agent."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from agent.dialog.turns import PAUSE_S
from agent.emulator import CallFunction as AskTool
from agent.emulator import Emulator, HookedSession, Hooks, Moment, Play, Turn
from agent.emulator.model.turn import Reply
from signaling.client.caller import Caller, call_service
from tests.support.line import FAST, VOICE_HZ, on_line, talkspurts_s
from tests.support.service import ServiceFactory
from tests.support.tones import rms, tone

STORY = "tell me a long story"


async def ask(caller: Caller, what: str) -> dict[str, Any]:
    """Send a client-message; return the data of its answer."""
    asked = len(caller.messages)
    caller.send("client-message", {"t": what}, message_id=what)
    return await caller.message("server-response", lambda data: data["t"] == what, after=asked)


async def say_between_marks(caller: Caller, seconds: float) -> None:
    await ask(caller, "activity-start")
    caller.microphone.play(tone(500, 48_000, seconds))
    await caller.microphone.played()
    await ask(caller, "activity-end")


def kinds(caller: Caller) -> list[str]:
    return [message["type"] for message in caller.messages]


async def heard_for(caller: Caller, how_long: str) -> None:
    """Wait until the emulator says for how long it was spoken to."""
    await caller.message("bot-output", lambda data: data["text"].startswith(f"I heard you for {how_long}"))


def answer(data: dict[str, Any]) -> bool:
    return data["spoken_status"] == "completed" and not data["interrupted"]


async def test_speech_between_the_marks_is_answered(service: ServiceFactory, emulator: Emulator) -> None:
    async with service(vad="off") as url, call_service(url) as caller:
        assert (await caller.message("bot-ready"))["about"]["vad"] == "off"
        await say_between_marks(caller, 2.0)
        await heard_for(caller, "2 seconds")
        told = kinds(caller)
        assert told.count("user-started-speaking") == told.count("user-stopped-speaking") == 1
        (session,) = emulator.sessions
        assert (session.received["ActivityStarted"], session.received["ActivityEnded"]) == (1, 1)


async def test_a_start_that_comes_late_takes_the_beginning_along(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service(vad="off") as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.microphone.play(tone(500, 48_000, 2.0))
        frames = caller.microphone.sent_frames
        await caller.until(lambda: caller.microphone.sent_frames >= frames + 30)  # 0.6 s
        await ask(caller, "activity-start")
        await caller.microphone.played()
        await ask(caller, "activity-end")
        session = emulator.sessions[0]
        await emulator.wait_for(lambda: session.received["ActivityEnded"] == 1)
        loud = np.flatnonzero(np.abs(session.audio.astype(int)) > 1000)
        assert loud[-1] - loud[0] > 1.9 * 16_000


async def test_speech_without_marks_is_not_answered_and_typed_text_is(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service(vad="off") as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.microphone.play(tone(500, 48_000, 1.5))
        await caller.microphone.played()
        caller.type("what is twelve plus thirty")
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
        assert "42" in said["text"]
        assert "user-started-speaking" not in kinds(caller)
        assert emulator.sessions[0].audio_samples_in == 0


async def test_all_input_may_go_to_the_model_without_being_answered(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service(vad="off", turn_coverage="all_input") as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.microphone.play(tone(500, 48_000, 1.0))
        await emulator.wait_for(lambda: emulator.sessions[0].audio_samples_in > 16_000)
        assert "bot-llm-started" not in kinds(caller)


async def test_a_start_interrupts_the_agent(service: ServiceFactory, emulator: Emulator) -> None:
    async with service(vad="off") as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type(STORY)
        await caller.message("bot-started-speaking")
        await say_between_marks(caller, 1.0)
        await caller.message("bot-interrupted")
        await heard_for(caller, "1 second")
        assert emulator.sessions[0].sent_kinds["interrupted"] == 1


async def test_a_start_interrupts_nobody_without_barge_in(service: ServiceFactory) -> None:
    async with service(vad="off", barge_in=False) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        await caller.message("bot-started-speaking")
        await say_between_marks(caller, 0.3)
        said = await caller.message("bot-output", answer)
        assert "42" in said["text"]
        assert "bot-interrupted" not in kinds(caller)


async def test_marks_are_refused_where_the_server_listens_itself(
    service: ServiceFactory, emulator: Emulator
) -> None:
    """The Live server would end the session over them."""
    async with service() as url, call_service(url) as caller:
        assert (await caller.message("bot-ready"))["about"]["vad"] == "on"
        caller.send("client-message", {"t": "activity-start"})
        assert "vad" in (await caller.message("error-response"))["error"]
        caller.send("client-message", {"t": "dance"})
        await caller.message("error-response", lambda data: data["error"].startswith("dance"))
        caller.send("client-message", {"t": ["interrupt"]})
        await caller.message("error-response", lambda data: "['interrupt']" in data["error"])
        assert emulator.sessions[0].open


class LosingOnce(Hooks):
    """The first session is lost while the caller speaks."""

    async def at(self, session: HookedSession, moment: Moment) -> None:
        first = session.record.number == 1
        if first and moment is Moment.MESSAGE_RECEIVED and session.record.audio_samples_in > 16_000:
            await session.close(1011, "Internal error.")


@pytest.mark.parametrize("answered_before", [False, True])
async def test_an_open_turn_goes_on_in_the_next_session(answered_before: bool) -> None:
    async with on_line(hooks=LosingOnce, on_turn=None, settings={"vad": "off"}) as line:
        caller = line.caller
        if answered_before:  # else there is no handle to resume from
            caller.type("what is twelve plus thirty")
            await caller.message("bot-stopped-speaking", timeout_s=15)
        await say_between_marks(caller, 3.0)
        await heard_for(caller, "3 seconds")
        first, second = line.emulator.sessions
        assert (first.received["ActivityEnded"], second.received["ActivityEnded"]) == (0, 1)
        assert second.received["ActivityStarted"] == 1
        assert line.count("session-lost") == 1
        assert first.violations == second.violations == []


async def test_an_interrupted_agent_is_silent_and_the_model_knows_nothing_of_it(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        assert (await ask(caller, "interrupt"))["d"] == {"interrupted": False}
        caller.type(STORY)
        await caller.message("bot-started-speaking")
        await caller.until(lambda: sum(rms(frame) > 300 for frame in caller.heard) > 40)
        received = emulator.sessions[0].received["Text"]
        assert (await ask(caller, "interrupt"))["d"] == {"interrupted": True}
        cut = await caller.message("bot-output", lambda data: data["interrupted"])
        assert cut["text"]
        assert cut["unheard_text"]
        frames = len(caller.heard)
        await caller.until(lambda: len(caller.heard) > frames + 75)
        assert rms(np.concatenate(caller.heard[frames + 25 : frames + 75])) < 20
        assert emulator.sessions[0].received["Text"] == received
        assert emulator.sessions[0].sent_kinds["interrupted"] == 0

        caller.type("what is one plus one")
        said = await caller.message("bot-output", answer, timeout_s=15)
        assert "2" in said["text"]


class SlowTool(Hooks):
    """A tool takes longer than any pause of a model that streams."""

    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.TOOL_CALLED:
            await asyncio.sleep(2 * PAUSE_S)


async def test_what_the_model_says_later_in_the_same_turn_is_not_heard_either() -> None:
    voice = Play(tone(VOICE_HZ, 24_000, 0.6))

    def script(turn: Turn) -> Reply:
        return (voice, AskTool("get_weather", {"city": "Paris"})) if turn.text == "weather" else (voice,)

    async with on_line(on_turn=script, hooks=SlowTool) as line:
        caller = line.caller
        caller.type("weather")
        await caller.message("bot-started-speaking")
        assert (await ask(caller, "interrupt"))["d"] == {"interrupted": True}
        (session,) = line.emulator.sessions
        await line.emulator.wait_for(lambda: session.sent_kinds["turnComplete"] == 1, timeout_s=10)
        assert session.tool_results
        assert kinds(caller).count("bot-started-speaking") == 1
        caller.type("and now")
        await caller.until(lambda: kinds(caller).count("bot-started-speaking") == 2)
        await caller.until(lambda: kinds(caller).count("bot-stopped-speaking") == 2)
        await caller.until(lambda: rms(np.concatenate(caller.heard[-10:])) < 20)
        first, second = talkspurts_s(caller.heard_pcm(), caller.heard_rate_hz)
        assert first < 0.5
        assert second == pytest.approx(0.6, abs=0.05)


async def test_keys_pressed_in_a_page_are_those_of_a_telephone() -> None:
    async with on_line(**FAST) as line:
        keys: list[Any] = [None, [], ["12"], "1", ["E"], [1]]
        for wrong in keys:
            asked = len(line.caller.messages)
            line.caller.send("dtmf", {"buttons": wrong}, message_id="wrong")
            refused = await line.caller.message("error-response", after=asked)
            assert "buttons" in refused["error"]
        line.caller.send("dtmf", {"buttons": ["1", "2"]})
        line.caller.send("dtmf", {"button": "#"})
        await line.told("key-pressed", key="#")
        session = line.emulator.sessions[0]
        await line.emulator.wait_for(lambda: any("1 2 #" in text for text in session.texts))
