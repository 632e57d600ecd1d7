"""The restaurant's agent that looks for the menu for a long time; the scenario `menu` notices."""

import asyncio
from dataclasses import replace

import restaurant


async def todays_menu() -> dict[str, object]:
    """Say what there is to eat today."""
    await asyncio.sleep(15)
    return restaurant.todays_menu()


agent = replace(restaurant.agent, tools=[restaurant.book_table, todays_menu, restaurant.hang_up])
