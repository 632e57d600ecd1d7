"""A receptionist on the telephone: `talkspurt serve examples/receptionist.py`.

Bookings are kept in memory here; a real receptionist would keep them in a calendar.
"""

from dataclasses import dataclass
from datetime import date, time
from typing import Annotated

from pydantic import Field

from agent import Agent, CallContext, ToolError, tool

OPENS, CLOSES = time(9), time(17)
bookings: dict[tuple[date, time], str] = {}


@dataclass
class Slot:
    """A time slot that can be booked."""

    day: date
    at: time


def free_slots(day: date) -> list[Slot]:
    """List the times that are free on a day."""
    hours = (time(hour) for hour in range(OPENS.hour, CLOSES.hour))
    return [Slot(day, at) for at in hours if (day, at) not in bookings]


@tool(confirm=True)
def book(
    ctx: CallContext,
    day: date,
    at: Annotated[time, Field(description="On the hour, e.g. 14:00.")],
    name: Annotated[str, Field(min_length=1, description="The caller's name.")],
) -> str:
    """Book an appointment."""
    if at.minute or not OPENS <= at < CLOSES:
        raise ToolError("Appointments are on the hour, from 9:00 to 16:00.")
    if bookings.setdefault((day, at), name) != name:
        raise ToolError("That time was taken a moment ago. Offer another one.")
    ctx.send_event("booked", {"day": day, "at": at, "name": name})
    return f"Booked for {name}: {day:%A, %d %B}, {at:%H:%M}."


def leave_message(ctx: CallContext, message: str) -> str:
    """Take a message for the doctor, who will call back."""
    ctx.send_event("message", {"from": ctx.caller, "message": message})
    return "The message has been taken."


def hang_up(ctx: CallContext) -> str:
    """End the call, but only after both sides have said goodbye."""
    ctx.end_call()
    return "Say goodbye briefly; the call ends when you have finished."


agent = Agent(
    instructions=(
        "You are the receptionist of Doctor Adler's practice, on the telephone. Be friendly and brief. You book "
        "appointments and take messages; you give no medical advice. In an emergency tell the caller to dial 112. "
        "Repeat dates and times before you book."
    ),
    greeting="Doctor Adler's practice, good day. How may I help you?",
    tools=[free_slots, book, leave_message, hang_up],
)
