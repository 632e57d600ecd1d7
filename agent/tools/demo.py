"""The demo's tool: weather that is openly made up, so that a tool can be tried offline."""

from __future__ import annotations

import zlib

from agent.tools.declare import Tool

_SKIES = ("sunny", "cloudy", "rainy", "windy")


def get_weather(city: str) -> dict[str, object]:
    """Return a made-up report, always the same one for the same city."""
    seed = zlib.crc32(city.strip().lower().encode())
    return {"city": city, "sky": _SKIES[seed % 4], "temperature_c": 5 + seed // 4 % 25, "made_up": True}


WEATHER = Tool(
    name="get_weather",
    description="Report the weather in a city. The report is made up for demonstration; say so.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city, e.g. Paris."}},
        "required": ["city"],
    },
    function=get_weather,
)
