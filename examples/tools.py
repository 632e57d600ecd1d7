"""An agent with tools: `talkspurt serve examples/tools.py`.

A tool is a typed function. Its docstring tells the model what it does; its types tell it what arguments to give.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from agent import Agent, CallContext, ToolError, tool

LIGHTS: dict[str, int] = {"kitchen": 0, "bedroom": 0}


def local_time(zone: Annotated[str, Field(description="IANA time zone, e.g. Europe/Paris.")]) -> str:
    """Tell the time of day somewhere in the world."""
    try:
        return f"{datetime.now(ZoneInfo(zone)):%H:%M}"
    except (ZoneInfoNotFoundError, ValueError):
        raise ToolError(f"There is no time zone called {zone}.") from None


def set_light(
    ctx: CallContext,  # the model does not see this parameter
    room: Literal["kitchen", "bedroom"],
    percent: Annotated[int, Field(ge=0, le=100, description="0 is off.")] = 100,
) -> str:
    """Set how bright the light in a room is."""
    LIGHTS[room] = percent
    ctx.send_event("light", {"room": room, "percent": percent})  # the page can show it
    return f"The light in the {room} is at {percent} percent."


@tool(behavior="NON_BLOCKING", scheduling="WHEN_IDLE", timeout_s=60)
async def bake_bread(ctx: CallContext, loaves: Annotated[int, Field(ge=1, le=4)] = 1) -> str:
    """Bake bread, which takes a while. The caller can go on talking in the meantime."""
    for done in range(loaves):
        ctx.progress(f"{done} of {loaves} loaves are done")
        await asyncio.sleep(2)
    return f"{loaves} loaves are done."


@tool(confirm=True)
def open_door() -> str:
    """Open the front door."""
    return "The door is open."


agent = Agent(
    instructions="You run a small house. Use your tools; say in a few words what you did.",
    tools=[local_time, set_light, bake_bread, open_door],
)
