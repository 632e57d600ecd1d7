"""A call goes on where another one stopped, by its handle or by what was said."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent import events
from agent.call.kept import KeptCall, read_kept
from agent.emulator import Emulator, running_emulator
from agent.emulator.faults.kinds import RefuseHandle, RefuseText
from agent.settings import Settings
from agent.spoken import Spoken
from agent.tools.declare import Tool
from tests.support.talk import Talk, emulating, talking_to


@asynccontextmanager
async def calling(emulator: Emulator, **options: Any) -> AsyncIterator[Talk]:
    async with talking_to(emulator, **options) as talk:
        talk.call.media_flows()
        yield talk


async def first_call(emulator: Emulator) -> KeptCall:
    async with calling(emulator) as talk:
        await talk.ask("my name is Ada")
        talk.call.change_agent("You are a pirate.", None)
        await emulator.wait_for(lambda: emulator.sessions[0].instruction == "You are a pirate.")
        kept = talk.call.keep()
    assert [turn.text for turn in kept.turns] == ["my name is Ada", "Nice to meet you, Ada."]
    assert kept.tokens["prompt"]
    return read_kept(json.loads(json.dumps(kept.to_json())))


@pytest.mark.parametrize("by_handle", [True, False])
async def test_a_call_goes_on(by_handle: bool) -> None:
    async with emulating() as emulator:
        kept = await first_call(emulator)
        assert kept.handle
        if not by_handle:
            kept = dataclasses.replace(kept, handle=None)
        async with calling(emulator, kept=kept, greeting="Welcome aboard.") as talk:
            assert await talk.ask("what is my name") == "Your name is Ada."
            second = emulator.sessions[1]
            assert second.handle == kept.handle
            assert second.instruction == "You are a pirate."
            assert list(second.texts) == ["what is my name"]  # no greeting
            again = talk.call.keep()
        assert [turn.text for turn in again.turns] == [
            *(turn.text for turn in kept.turns),
            "what is my name",
            "Your name is Ada.",
        ]
        assert again.instructions == "You are a pirate."
        assert sum(again.tokens["prompt"].values()) > sum(kept.tokens["prompt"].values())


async def test_a_handle_that_is_refused_costs_nothing_but_the_time() -> None:
    async with emulating(RefuseHandle()) as emulator:
        kept = await first_call(emulator)
        async with calling(emulator, kept=kept) as talk:
            assert await talk.ask("what is my name") == "Your name is Ada."
            assert [session.handle for session in emulator.sessions] == [None, kept.handle, None]


async def test_the_model_is_told_which_tools_were_cut_off() -> None:
    started = asyncio.Event()

    async def slow() -> None:
        started.set()
        await asyncio.Event().wait()

    tool = Tool("slow", "A slow one.", {"type": "object", "properties": {}}, slow)
    async with running_emulator(pace=50.0, await_playback=False) as emulator:
        async with calling(emulator, tools=[tool]) as talk:
            talk.call.type_text("call slow")
            await asyncio.wait_for(started.wait(), 10)
            kept = talk.call.keep()
        assert kept.open_tools == ("slow",)
        async with calling(emulator, kept=kept) as talk:
            await talk.ask("what is one plus one")
            told = [text for content in emulator.sessions[1].contents for _, text in content.turns]
            assert any("cut off" in text and "slow" in text for text in told)
            assert [turn.speaker for turn in talk.call.spoken()][:1] == ["caller"]


async def test_a_history_that_the_server_refuses_is_told_without_the_worst_of_it() -> None:
    said = [f"I have seen {number} birds" for number in range(40)]
    said[17] = "poison"
    kept = KeptCall(
        kept_at=0,
        model="gemini-3.8-live",
        turns=(
            Spoken(speaker="caller", text="my name is Ada"),
            *(Spoken(speaker="caller", text=text) for text in said),
        ),
    )
    async with emulating(RefuseText(text="poison")) as emulator, calling(emulator, kept=kept) as talk:
        await talk.until(events.InputRefused)
        while len(emulator.sessions) < 3:
            await talk.until(events.SessionReplaced)
            talk.events.clear()
        assert await talk.ask("what is my name") == "Your name is Ada."
        told = [text for content in emulator.sessions[-1].contents for _role, text in content.turns]
        assert 30 <= len(told) < 41
        assert not set(told) - {"my name is Ada", *said}


async def test_instructions_of_before_that_the_server_refuses_are_given_up() -> None:
    kept = KeptCall(kept_at=0, model="gemini-3.8-live", turns=(), instructions="Be poison.")
    async with emulating(RefuseText(text="poison")) as emulator, calling(emulator, kept=kept) as talk:
        assert events.InputRefused("agent_change", "Request contains an invalid argument") in talk.events
        assert emulator.sessions[-1].instruction == Settings().system_instruction
        assert talk.call.keep().instructions is None
