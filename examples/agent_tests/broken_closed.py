"""The restaurant's agent that books at any hour; the scenario `closed` notices."""

from dataclasses import replace

import restaurant

from agent import CallContext


def book_table(ctx: CallContext, guests: int, hour: int) -> dict[str, object]:
    """Book a table for tonight."""
    ctx.send_event("booked", {"guests": guests, "hour": hour})
    return {"table": 5, "guests": guests, "hour": hour}


agent = replace(restaurant.agent, tools=[book_table, restaurant.todays_menu, restaurant.hang_up])
