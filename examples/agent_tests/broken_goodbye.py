"""The restaurant's agent that never hangs up; the scenario `goodbye` notices."""

from dataclasses import replace

import restaurant


def hang_up() -> str:
    """End the call, but only after both sides have said goodbye."""
    return "Say goodbye briefly."


agent = replace(restaurant.agent, tools=[restaurant.book_table, restaurant.todays_menu, hang_up])
