"""An agent that is tested: `talkspurt test scenarios --agent restaurant.py` plays five calls to it."""

from typing import Annotated

from pydantic import Field

from agent import Agent, CallContext, ToolError

OPENS, CLOSES = 12, 22
MENU = ("onion soup", "grilled trout", "apple tart")


def book_table(
    ctx: CallContext,
    guests: Annotated[int, Field(ge=1, le=12)],
    hour: Annotated[int, Field(ge=0, le=23)],
) -> dict[str, object]:
    """Book a table for tonight."""
    if not OPENS <= hour < CLOSES:
        raise ToolError(f"The restaurant is open from {OPENS} to {CLOSES} o'clock.")
    ctx.send_event("booked", {"guests": guests, "hour": hour})
    return {"table": 5, "guests": guests, "hour": hour}


def todays_menu() -> dict[str, object]:
    """Say what there is to eat today."""
    return {"dishes": ", ".join(MENU)}


def hang_up(ctx: CallContext) -> str:
    """End the call, but only after both sides have said goodbye."""
    ctx.end_call()
    return "Say goodbye briefly; the call ends when you have finished."


agent = Agent(
    instructions="You answer the telephone of the restaurant Blue Door: you book tables and know the menu.",
    greeting="Blue Door, good evening. How can I help you?",
    tools=[book_table, todays_menu, hang_up],
)
