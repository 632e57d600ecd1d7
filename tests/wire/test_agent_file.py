"""What an agent's file asks for happens in a call: greeting, tools, saying, hanging up."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent import Agent, CallContext, events, tool
from agent.author.load import load_agent
from agent.call.call import Call
from agent.emulator import Emulator, running_emulator
from agent.emulator.faults.script import Fault
from agent.live.client import live_client
from agent.live.config import LiveEndpoint
from agent.media.video import Jpeg, encode_jpeg
from agent.settings import Settings

FILES = sorted((Path(__file__).parent.parent.parent / "examples").glob("*.py"))
EXAMPLES = [path for path in FILES if path.stem != "webhook_receiver"]  # which is no agent


class Talk:
    """A call without a caller's media, and what happened in it."""

    def __init__(self, call: Call, emulator: Emulator, running: asyncio.Task[events.CallEnded]) -> None:
        self.call = call
        self.emulator = emulator
        self.running = running
        self.events: list[events.Event] = []
        self._changed = asyncio.Event()
        call.observe(self._note)

    @property
    def said(self) -> str:
        turns = {event.turn_id: event.text for event in self.events if isinstance(event, events.AgentTranscribed)}
        return " / ".join(turns.values())

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[events.Event], count: int = 1) -> None:
        async with asyncio.timeout(10):
            while len(self.all(kind)) < count:
                self._changed.clear()
                await self._changed.wait()

    async def ask(self, text: str) -> str:
        """Type something and return how the tool that it called ended, as JSON."""
        ended, turns = len(self.all(events.ToolFinished)), len(self.all(events.TurnCompleted))
        self.call.type_text(text)
        await self.until(events.ToolFinished, ended + 1)
        await self.until(events.TurnCompleted, turns + 1)
        return json.dumps(self.all(events.ToolFinished)[-1].result)

    async def say(self, text: str) -> None:
        """Type something that calls no tool, and let the agent answer."""
        turns = len(self.all(events.TurnCompleted))
        self.call.type_text(text)
        await self.until(events.TurnCompleted, turns + 1)

    def _note(self, event: events.Event) -> None:
        self.events.append(event)
        self._changed.set()


@asynccontextmanager
async def calling(agent: Agent, *, faults: Sequence[Fault] = (), caller: str | None = None) -> AsyncIterator[Talk]:
    agent = load_agent(None, (), agent)
    async with running_emulator(faults=list(faults), pace=50.0, await_playback=False, seed=1) as emulator:
        settings = agent.settings(Settings())
        client = live_client(LiveEndpoint("test-key", emulator.url, str(emulator.ca_file)), settings)
        call = Call(
            "c1",
            client=client,
            settings=settings,
            tools=agent.declared_tools(),
            greeting=agent.greeting,
            caller=caller,
        )
        talk = Talk(call, emulator, asyncio.create_task(call.run(None)))
        try:
            await talk.until(events.AgentReady)
            yield talk
        finally:
            call.hang_up("hung_up", "The test is over.", "caller")
            await talk.running
            await client.aio.aclose()
        assert [violation for session in emulator.sessions for violation in session.violations] == []


async def test_the_caller_is_greeted_once_when_media_flows() -> None:
    async with calling(Agent(greeting="You are welcome.", voice="Kore", instructions="Be kind.")) as talk:
        record = talk.emulator.sessions[0]
        assert list(record.texts) == []
        talk.call.media_flows()
        talk.call.media_flows()
        await talk.until(events.TurnCompleted)
        assert talk.said == "You are welcome."
        talk.call.type_text("hello")
        await talk.until(events.TurnCompleted, 2)
        assert len([text for text in record.texts if "welcome" in text]) == 1
        told = record.setup["generationConfig"]["speechConfig"], record.setup["systemInstruction"]
        assert "Kore" in str(told)
        assert "Be kind." in str(told)


async def test_media_may_flow_before_the_session_is_ready() -> None:
    async with running_emulator(pace=50.0, await_playback=False) as emulator:
        settings = Settings()
        client = live_client(LiveEndpoint("test-key", emulator.url, str(emulator.ca_file)), settings)
        call = Call("c1", client=client, settings=settings, greeting="You are welcome.")
        call.media_flows()
        running = asyncio.create_task(call.run(None))
        await emulator.wait_for(lambda: bool(emulator.sessions) and len(emulator.sessions[0].texts) == 1)
        call.hang_up("hung_up", "The test is over.", "caller")
        await running
        await client.aio.aclose()


async def test_without_a_greeting_the_caller_begins() -> None:
    async with calling(Agent()) as talk:
        talk.call.media_flows()
        talk.call.type_text("hello")
        await talk.until(events.TurnCompleted)
        assert list(talk.emulator.sessions[0].texts) == ["hello"]


async def test_a_tool_says_something_and_sends_an_event() -> None:
    def announce(ctx: CallContext) -> str:
        """Announce."""
        ctx.say("Thank you for waiting.")
        ctx.send_event("announced", {"to": ctx.caller, "after": [turn.text for turn in ctx.transcript]})
        return "fine"

    async with calling(Agent(tools=[announce]), caller="+4930123456") as talk:
        await talk.ask("call announce")
        await talk.until(events.TurnCompleted, 2)
        (sent,) = talk.all(events.AppEventSent)
        assert (sent.name, sent.data) == ("announced", {"to": "+4930123456", "after": ["call announce"]})
        assert "Thank you for waiting." in talk.said


async def test_a_yes_is_wanted_before_the_door_opens() -> None:
    opened: list[int] = []

    @tool(confirm=True)
    def open_door(number: int) -> str:
        """Open a door."""
        opened.append(number)
        return "open"

    async with calling(Agent(tools=[open_door])) as talk:
        assert "ask whether you shall" in await talk.ask('call open_door {"number": 3}')
        assert opened == []
        for said, told in (("maybe", "not clearly said yes"), ("no", "did not say yes"), ("hello", "ask whether")):
            await talk.say(said)
            assert told in await talk.ask('call open_door {"number": 3}')
        assert opened == []
        await talk.say("yes please")
        assert "open" in await talk.ask('call open_door {"number": 3}')
        assert opened == [3]
        assert "wrong arguments: number" in await talk.ask('call open_door {"number": "x"}')


# --- examples


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_holds_a_call(path: Path) -> None:
    agent = load_agent(str(path), (), Agent())
    async with calling(agent) as talk:
        talk.call.media_flows()
        if agent.greeting is not None:
            await talk.until(events.TurnCompleted)
        talk.call.type_text("who are you")
        await talk.until(events.TurnCompleted, 2 if agent.greeting else 1)
        assert talk.said


def example(name: str) -> Agent:
    (path,) = [path for path in EXAMPLES if path.stem == name]
    return load_agent(str(path), (), Agent())


async def test_the_example_with_tools() -> None:
    async with calling(example("tools")) as talk:
        assert ":" in await talk.ask('call local_time {"zone": "UTC"}')
        assert "no time zone called" in await talk.ask('call local_time {"zone": "Mars/Base"}')
        assert "40 percent" in await talk.ask('call set_light {"room": "kitchen", "percent": 40}')
        assert "wrong arguments: room" in await talk.ask('call set_light {"room": "garage"}')
        assert [sent.data for sent in talk.all(events.AppEventSent)] == [{"room": "kitchen", "percent": 40}]
        talk.call.type_text('call bake_bread {"loaves": 1}')
        await talk.emulator.wait_for(lambda: "1 loaves are done." in str(talk.emulator.sessions[0].tool_results))
        assert "0 of 1 loaves" in str(talk.emulator.sessions[0].tool_results)


async def test_the_example_that_interprets() -> None:
    async with calling(example("translator")) as talk:
        session = talk.emulator.sessions[0]
        assert "between English and German" in session.instruction
        answer = await talk.ask('call interpret_between {"one": "Italian", "other": "Japanese"}')
        assert "between Italian and Japanese now" in answer
        await talk.emulator.wait_for(lambda: "between Italian and Japanese" in session.instruction)
        assert "German" not in session.instruction
        assert [sent.data for sent in talk.all(events.AppEventSent)] == [["Italian", "Japanese"]]
        assert "one and the same" in await talk.ask('call interpret_between {"one": "Thai", "other": "thai"}')
        assert "wrong arguments: other" in await talk.ask('call interpret_between {"one": "Thai", "other": ""}')
        assert "between Italian and Japanese" in session.instruction


async def test_the_example_with_pictures() -> None:
    async with calling(example("vision")) as talk:
        frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, dtype=np.uint8), format="rgb24")
        talk.call.see(Jpeg("camera", *encode_jpeg(frame, 768)))
        await talk.until(events.PictureSent)
        talk.call.type_text("what do you see")
        await talk.until(events.TurnCompleted)
        assert "a picture of 320 by 240 pixels" in talk.said
        assert "3 things" in await talk.ask('call note_findings {"findings": [{"what": "cup", "count": 3}]}')
        assert talk.all(events.AppEventSent)[0].data == [{"what": "cup", "count": 3}]


async def test_the_receptionist() -> None:
    async with calling(example("receptionist"), caller="+4930123456") as talk:
        assert "2027-01-04" in await talk.ask('call free_slots {"day": "2027-01-04"}')
        booking = 'call book {"day": "2027-01-04", "at": "14:00", "name": "Ada"}'
        assert "ask whether you shall" in await talk.ask(booking)
        await talk.say("yes")
        assert "Booked for Ada: Monday, 04 January, 14:00" in await talk.ask(booking)
        assert "14:00" not in await talk.ask('call free_slots {"day": "2027-01-04"}')
        assert "taken" in await talk.ask('call leave_message {"message": "Please call back."}')
        booked, message = talk.all(events.AppEventSent)
        assert booked.data == {"day": "2027-01-04", "at": "14:00:00", "name": "Ada"}
        assert message.data == {"from": "+4930123456", "message": "Please call back."}


def test_what_an_agents_file_imports_is_there() -> None:
    face = importlib.import_module("agent")
    assert all(getattr(face, name) is not None for name in face.__all__)
    with pytest.raises(AttributeError):
        _ = face.nothing
