"""The restaurant's agent that forgets to tell the caller's screen; the scenario `booking` notices."""

from dataclasses import replace

import restaurant


def book_table(guests: int, hour: int) -> dict[str, object]:
    """Book a table for tonight."""
    return {"table": 5, "guests": guests, "hour": hour}


agent = replace(restaurant.agent, tools=[book_table, restaurant.todays_menu, restaurant.hang_up])
