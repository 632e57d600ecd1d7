"""An agent's file may have any name, and so may the files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from signaling.client.caller import call_service
from tests.support.process import AS_MODULE, AS_SCRIPT, serving_in

AGENT = """
from agent import Agent
from prices_of_the_house import PRICE

agent = Agent(greeting=f"You are welcome for {PRICE}.")
"""
OF_OTHERS = ("json", "asyncio", "typing", "google", "numpy", "aiohttp", "uvloop", "mcp", "web", "tests", "agent")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("agent", AS_MODULE),
        ("signaling", AS_SCRIPT),
        ("json", AS_MODULE),
        ("tools", AS_SCRIPT),
    ],
)
async def test_an_agent_serves_under_any_name(tmp_path: Path, name: str, command: Sequence[str]) -> None:
    for other in OF_OTHERS:
        (tmp_path / f"{other}.py").write_text("raise RuntimeError('this was not meant')\n")
    (tmp_path / "prices_of_the_house.py").write_text("PRICE = 12\n")
    (tmp_path / f"{name}.py").write_text(AGENT)
    async with (
        serving_in(tmp_path, command, f"{name}.py", "--port", "0") as service,
        call_service(service.url) as caller,
    ):
        await caller.message("bot-output", lambda data: "welcome for 12" in data["text"], timeout_s=15)
    assert not any("Traceback" in line or "this was not meant" in line for line in service.log)
