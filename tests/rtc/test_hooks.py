"""An agent's hooks hear of a real call in order, and none of them can harm it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from agent import Agent, CallContext, Spoken, events
from agent.emulator import Emulator
from tests.support.service import call_agent


class Diary:
    """Hooks that write down what they are told."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[tuple[str, events.CallEnded, int]] = []
        self.spoken: list[Spoken] = []
        self.events: list[events.Event] = []

    async def on_call_started(self, call: CallContext) -> None:
        await asyncio.sleep(0)
        self.started.append(call.call_id)

    def on_call_ended(self, call: CallContext, ended: events.CallEnded) -> None:
        self.ended.append((call.call_id, ended, len(call.transcript)))

    def on_transcript(self, call: CallContext, spoken: Spoken) -> None:
        call.send_event("heard", {"speaker": spoken.speaker})
        self.spoken.append(spoken)

    async def on_event(self, call: CallContext, event: events.Event) -> None:
        self.events.append(event)

    def agent(self, **changes: Any) -> Agent:
        hooks = {name: getattr(self, name) for name in dir(self) if name.startswith("on_")}
        return Agent(**{**hooks, **changes})


async def test_hooks_are_told_of_a_call_from_beginning_to_end(emulator: Emulator) -> None:
    diary = Diary()
    async with call_agent(diary.agent(), emulator) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        await caller.message("server-message", lambda data: data.get("data") == {"speaker": "agent"}, timeout_s=15)
        (call_id,) = diary.started
        assert caller.location is not None
        assert caller.location.endswith(call_id)
        assert diary.ended == []
    assert [spoken.speaker for spoken in diary.spoken] == ["caller", "agent"]
    assert diary.spoken[0].text == "what is twelve plus thirty"
    assert "42" in diary.spoken[1].text
    ((ended_id, ended, turns),) = diary.ended
    assert (ended_id, ended.reason, ended.fault, turns) == (call_id, "hung_up", "caller", 2)
    kinds = [type(event) for event in diary.events]
    assert (
        kinds.index(events.AgentReady) < kinds.index(events.GenerationStarted) < kinds.index(events.TurnCompleted)
    )
    assert kinds[-1] is events.CallEnded
    assert events.AppEventSent not in kinds


async def test_a_hook_has_the_agent_say_something(emulator: Emulator) -> None:
    async def greet(call: CallContext) -> None:
        call.say("Welcome aboard.")

    async with call_agent(Agent(on_call_started=greet), emulator) as caller:
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
        assert said["text"] == "Welcome aboard."


async def test_hooks_that_fail_are_counted_and_harm_nothing(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_call: CallContext, event: object = None) -> None:
        raise LookupError(f"secret {event}")

    async def exit_(_call: CallContext, event: object) -> None:
        raise SystemExit(3)

    async def cancelled(_call: CallContext, event: object) -> None:
        raise asyncio.CancelledError

    ended: list[events.CallEnded] = []
    agent = Agent(
        on_call_started=fail,
        on_transcript=cancelled,
        on_event=exit_,
        on_call_ended=lambda _call, event: ended.append(event),
    )
    async with call_agent(agent, emulator) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
        assert "42" in said["text"]
        assert caller.location is not None
        async with aiohttp.ClientSession() as http, http.get(re.sub("/v1/.*", "/metrics", caller.location)) as got:
            found = re.search(r"^talkspurt_hook_errors_total (\d+)", await got.text(), re.MULTILINE)
            assert found is not None
            assert int(found[1]) >= 4
    assert len(ended) == 1
    assert "on_call_started failed: LookupError" in caplog.text
    assert "secret" not in caplog.text
