"""An agent's file in a call with a real caller: greeting, events, and who hangs up when."""

from __future__ import annotations

from agent import Agent, CallContext
from agent.emulator import Emulator
from tests.support.service import call_agent


def leave(ctx: CallContext) -> str:
    """Leave."""
    ctx.send_event("leaving", {"call": ctx.call_id})
    ctx.end_call()
    return "goodbye"


async def test_the_caller_is_greeted_aloud(emulator: Emulator) -> None:
    async with call_agent(Agent(greeting="You are welcome."), emulator) as caller:
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert said["text"] == "You are welcome."
        assert abs(caller.heard_pcm()).max() > 1000
        assert len(emulator.sessions[0].texts) == 1


async def test_the_agent_hangs_up_after_its_last_word(emulator: Emulator) -> None:
    async with call_agent(Agent(tools=[leave]), emulator, hang_up=False) as caller:
        await caller.message("bot-ready")
        caller.type("call leave")
        event = await caller.message("server-message", lambda data: data["type"] == "app-event")
        assert event["name"] == "leaving"
        farewell = await caller.message("server-message", lambda data: data["type"] == "call-ended", timeout_s=15)
        assert (farewell["reason"], farewell["fault"]) == ("hung_up", "agent")
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert said["text"] == "The tool says: goodbye."
        kinds = [message["type"] for message in caller.messages]
        assert kinds.index("bot-stopped-speaking") < len(kinds) - 1 - kinds[::-1].index("server-message")
        await caller.ended(timeout_s=5)
