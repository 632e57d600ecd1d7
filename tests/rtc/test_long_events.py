"""A client is sent no more than it can take at once, and a failing observer harms nobody."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest

from agent import Agent, CallContext, events
from agent.emulator import Emulator
from signaling.client import caller as headless
from signaling.client.caller import Caller
from tests.support.service import call_agent
from tests.support.talk import calling

WORD = "größer "


def shout(ctx: CallContext, words: int) -> str:
    """Shout."""
    ctx.send_event("small", {"n": 1})
    ctx.send_event("shout", {"text": WORD * words})
    ctx.send_event("after", {"n": 2})
    return "done"


def announce(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Put this line about the longest message into the caller's offer."""
    offer = headless._offer

    async def offer_so(http: aiohttp.ClientSession, url: str, sdp: str, state: str | None) -> tuple[str, str]:
        return await offer(http, url, re.sub(r"a=max-message-size:\d+\r\n", line, sdp), state)

    monkeypatch.setattr(headless, "_offer", offer_so)


async def app_event(caller: Caller, name: str) -> dict[str, Any]:
    found = await caller.message("server-message", lambda data: data.get("name") == name)
    data: dict[str, Any] = found["data"]
    return data


@pytest.mark.parametrize(
    ("line", "max_bytes", "words"),
    [
        ("", 64 << 10, 8000),
        ("a=max-message-size:16384\r\n", 16 << 10, 3000),
        ("a=max-message-size:many\r\n", 64 << 10, 8000),
        ("a=max-message-size:-1\r\n", 64 << 10, 8000),
    ],
)
async def test_a_long_event_is_shortened_and_the_next_ones_arrive(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, line: str, max_bytes: int, words: int
) -> None:
    announce(monkeypatch, line)
    async with call_agent(Agent(tools=[shout]), emulator) as caller:
        await caller.message("bot-ready")
        caller.type(f'call shout {{"words": {words}}}')
        assert await app_event(caller, "small") == {"n": 1}
        said = (await app_event(caller, "shout"))["text"]
        assert await app_event(caller, "after") == {"n": 2}
        assert said == (WORD * words)[: len(said) - 1] + "…"
        assert max_bytes - 300 < len(said.encode()) < max_bytes
        (told,) = [m["data"] for m in caller.messages if (m.get("data") or {}).get("name") == "shout"]
        assert told["shortened"] is True
        done = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
        assert done["text"] == "The tool says: done."
        assert caller.location is not None
        async with aiohttp.ClientSession() as http, http.get(re.sub("/v1/.*", "/metrics", caller.location)) as got:
            metrics = await got.text()
        assert "talkspurt_messages_shortened_total 1.0" in metrics
        assert "talkspurt_observer_errors_total 0.0" in metrics


@pytest.mark.parametrize("size", ["0", "262144", "1073741823"])
async def test_a_client_that_takes_more_is_told_all(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    announce(monkeypatch, f"a=max-message-size:{size}\r\n")
    async with call_agent(Agent(tools=[shout]), emulator) as caller:
        await caller.message("bot-ready")
        caller.type('call shout {"words": 9000}')
        assert (await app_event(caller, "shout"))["text"] == WORD * 9000


async def test_an_observer_that_fails_ends_no_call_and_hides_nothing_from_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with calling() as talk:
        seen: list[events.Event] = []

        def fail(_event: events.Event) -> None:
            raise ValueError("the caller said a secret word")

        talk.call.observe(fail)
        talk.call.observe(seen.append)
        talk.call.type_text("what is twelve plus thirty")
        await talk.until(events.TurnCompleted)
        assert talk.call.observers.errors == len(seen) > 3
        assert "42" in talk.said[-1]
    lines = [record.getMessage() for record in caplog.records if "observer" in record.getMessage()]
    assert all("ValueError" in line for line in lines)
    assert 0 < len(lines) <= 10
    assert "secret" not in caplog.text
