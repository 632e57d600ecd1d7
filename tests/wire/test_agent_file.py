"""What an agent's file asks for happens in a call: greeting, tools, speech, hang-up."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from agent import Agent, CallContext, events, tool
from agent.author.load import load_agent
from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.emulator import running_emulator
from agent.emulator.faults.kinds import Fault
from agent.live.client import live_client
from agent.media.video import encode_jpeg
from agent.picture import Shown
from agent.settings import Settings
from tests.support.service import emulator_endpoint
from tests.support.talk import Talk, emulating, talking_to

FILES = sorted((Path(__file__).parent.parent.parent / "examples").glob("*.py"))
EXAMPLES = [path for path in FILES if path.stem != "webhook_receiver"]  # which is no agent


@asynccontextmanager
async def calling(agent: Agent, *, faults: Sequence[Fault] = (), caller: str | None = None) -> AsyncIterator[Talk]:
    agent = load_agent(None, (), agent)
    settings, tools = agent.settings(Settings()), agent.declared_tools()
    async with (
        emulating(*faults) as emulator,
        talking_to(emulator, settings, tools, agent.greeting, caller=caller) as talk,
    ):
        yield talk


async def test_the_caller_is_greeted_once_when_media_flows() -> None:
    async with calling(Agent(greeting="You are welcome.", voice="Kore", instructions="Be kind.")) as talk:
        record = talk.emulator.sessions[0]
        assert list(record.texts) == []
        talk.call.media_flows()
        talk.call.media_flows()
        await talk.until(events.TurnCompleted)
        assert talk.said == ["You are welcome."]
        talk.call.type_text("hello")
        await talk.until(events.TurnCompleted, 2)
        assert len([text for text in record.texts if "welcome" in text]) == 1
        told = record.setup["generationConfig"]["speechConfig"], record.setup["systemInstruction"]
        assert "Kore" in str(told)
        assert "Be kind." in str(told)


async def test_media_may_flow_before_the_session_is_ready() -> None:
    async with running_emulator(pace=50.0, await_playback=False) as emulator:
        settings = Settings()
        client = live_client(emulator_endpoint(emulator), settings)
        call = Call("c1", client=client, setup=AgentSetup.of(settings, greeting="You are welcome."))
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
        await talk.use_tool("call announce")
        await talk.until(events.TurnCompleted, 2)
        (sent,) = talk.all(events.AppEventSent)
        assert (sent.name, sent.data) == ("announced", {"to": "+4930123456", "after": ["call announce"]})
        assert "Thank you for waiting." in " / ".join(talk.said)


async def test_a_yes_is_wanted_before_the_door_opens() -> None:
    opened: list[int] = []

    @tool(confirm=True)
    def open_door(number: int) -> str:
        """Open a door."""
        opened.append(number)
        return "open"

    async with calling(Agent(tools=[open_door])) as talk:
        assert "ask whether to go ahead" in await talk.use_tool('call open_door {"number": 3}')
        assert opened == []
        for said, told in (("maybe", "not clearly said yes"), ("no", "did not say yes"), ("hello", "ask whether")):
            await talk.ask(said)
            assert told in await talk.use_tool('call open_door {"number": 3}')
        assert opened == []
        await talk.ask("yes please")
        assert "open" in await talk.use_tool('call open_door {"number": 3}')
        assert opened == [3]
        assert "wrong arguments: number" in await talk.use_tool('call open_door {"number": "x"}')


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
        assert ":" in await talk.use_tool('call local_time {"zone": "UTC"}')
        assert "no time zone called" in await talk.use_tool('call local_time {"zone": "Mars/Base"}')
        assert "40 percent" in await talk.use_tool('call set_light {"room": "kitchen", "percent": 40}')
        assert "wrong arguments: room" in await talk.use_tool('call set_light {"room": "garage"}')
        assert [sent.data for sent in talk.all(events.AppEventSent)] == [{"room": "kitchen", "percent": 40}]
        talk.call.type_text('call bake_bread {"loaves": 1}')
        await talk.emulator.wait_for(lambda: "1 loaves are done." in str(talk.emulator.sessions[0].tool_results))
        assert "0 of 1 loaves" in str(talk.emulator.sessions[0].tool_results)


async def test_the_example_that_interprets() -> None:
    async with calling(example("translator")) as talk:
        session = talk.emulator.sessions[0]
        assert "between English and German" in session.instruction
        answer = await talk.use_tool('call interpret_between {"one": "Italian", "other": "Japanese"}')
        assert "you interpret between Italian and Japanese now" in answer
        await talk.emulator.wait_for(lambda: "between Italian and Japanese" in session.instruction)
        assert "German" not in session.instruction
        assert [sent.data for sent in talk.all(events.AppEventSent)] == [["Italian", "Japanese"]]
        assert "Both languages are the same" in await talk.use_tool(
            'call interpret_between {"one": "Thai", "other": "thai"}'
        )
        assert "wrong arguments: other" in await talk.use_tool(
            'call interpret_between {"one": "Thai", "other": ""}'
        )
        assert "between Italian and Japanese" in session.instruction


async def test_the_example_with_pictures() -> None:
    async with calling(example("vision")) as talk:
        frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, dtype=np.uint8), format="rgb24")
        talk.call.see(Shown("camera", encode_jpeg(frame, 768)))
        await talk.until(events.PictureSent)
        talk.call.type_text("what do you see")
        await talk.until(events.TurnCompleted)
        assert "a picture of 320 by 240 pixels" in " / ".join(talk.said)
        assert "3 things" in await talk.use_tool('call note_findings {"findings": [{"what": "cup", "count": 3}]}')
        assert talk.all(events.AppEventSent)[0].data == [{"what": "cup", "count": 3}]


async def test_the_receptionist() -> None:
    async with calling(example("receptionist"), caller="+4930123456") as talk:
        assert "2027-01-04" in await talk.use_tool('call free_slots {"day": "2027-01-04"}')
        booking = 'call book {"day": "2027-01-04", "at": "14:00", "name": "Ada"}'
        assert "ask whether to go ahead" in await talk.use_tool(booking)
        await talk.ask("yes")
        assert "Booked for Ada: Monday, 04 January, 14:00" in await talk.use_tool(booking)
        assert "14:00" not in await talk.use_tool('call free_slots {"day": "2027-01-04"}')
        assert "taken" in await talk.use_tool('call leave_message {"message": "Please call back."}')
        booked, message = talk.all(events.AppEventSent)
        assert booked.data == {"day": "2027-01-04", "at": "14:00:00", "name": "Ada"}
        assert message.data == {"from": "+4930123456", "message": "Please call back."}


def test_what_an_agents_file_imports_is_there() -> None:
    face = importlib.import_module("agent")
    assert all(getattr(face, name) is not None for name in face.__all__)
    with pytest.raises(AttributeError):
        _ = face.nothing
