"""What the agent can do with a telephone: hang up after its goodbye, press keys, transfer."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from agent import events
from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.dialog.goodbye import GOODBYE_S
from agent.emulator import Emulator
from agent.errors import GatewayError, ToolError
from agent.live.client import live_client
from agent.settings import Settings
from agent.tools.declare import Tool
from signaling.phone import telephone as phone
from signaling.phone.callees import callees_of
from signaling.phone.telephone import phone_tools
from tests.support.service import emulator_endpoint


class Handset:
    """Notes what it is told to do; refuses what the test wants refused."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refusal: GatewayError | None = None

    def end(self) -> None:
        self.done.append("end")

    async def send_keys(self, keys: str) -> None:
        self._do(f"keys {keys}")

    async def transfer(self, target: str) -> None:
        self._do(f"transfer {target}")

    def _do(self, what: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.done.append(what)


@pytest.fixture
async def call(emulator: Emulator) -> Call:
    client = live_client(emulator_endpoint(emulator), Settings())
    return Call("c1", client=client, setup=AgentSetup.of(Settings()))


def tools(handset: Handset, call: Call) -> dict[str, Tool]:
    settings = Settings(
        transfer=True, transfer_allowed=["+1555*", "sip:*@example.org"], sip_user="sip:agent@pbx.local"
    )
    found = phone_tools(handset, lambda: call, may_send_keys=True, transfer_to=callees_of(settings, "transfer"))
    return {tool.name: tool for tool in found}


async def test_the_goodbye_is_heard_before_the_hang_up(call: Call) -> None:
    handset = Handset()
    call.playout.push(np.ones(24_000, np.int16), generation=1)
    call.farewell.note(events.AgentStartedSpeaking(1))
    ending = asyncio.create_task(tools(handset, call)["end_call"].function())
    await asyncio.sleep(phone.HEARD_S + 0.2)
    assert handset.done == []
    while call.playout.pull() is not None:
        pass
    call.farewell.note(events.AgentStoppedSpeaking(1))
    async with asyncio.timeout(2):
        await ending
    assert handset.done == ["end"]


async def test_a_goodbye_that_never_ends_is_cut(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOODBYE_S, "spoken", 0.2)
    handset = Handset()
    call.playout.push(np.ones(24_000, np.int16), generation=1)
    await tools(handset, call)["end_call"].function()
    assert handset.done == ["end"]


async def test_keys_are_checked_and_sent(call: Call) -> None:
    handset = Handset()
    send = tools(handset, call)["send_dtmf"].function
    await send("1,2#a")
    assert handset.done == ["keys 1,2#A"]
    wrong: Any
    for wrong in ("", "E", "1 2", "1" * 33):
        with pytest.raises(ToolError):
            await send(wrong)


async def test_a_refused_transfer_is_told_to_the_model(call: Call) -> None:
    handset = Handset()
    transfer = tools(handset, call)["transfer"].function
    await transfer("sip:ann@example.org")
    assert handset.done == ["transfer sip:ann@example.org"]
    handset.refusal = GatewayError("the transfer was refused: 603", code=603)
    with pytest.raises(ToolError, match="603"):
        await transfer("+15550001")
    with pytest.raises(ToolError, match="SIP address"):
        await transfer("ann")


async def test_a_caller_is_transferred_to_allowed_telephones_only(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller can talk a model into a lot; a refusal does not wait for the agent's last word."""
    monkeypatch.setitem(GOODBYE_S, "spoken", 60.0)
    handset = Handset()
    transfer = tools(handset, call)["transfer"].function
    call.playout.push(np.ones(24_000, np.int16), generation=1)
    for to in ("+1900555", "sip:+1900555@pbx.local", "sip:ann@example.com", "sip:ann@example.org;maddr=10.0.0.1"):
        with pytest.raises(ToolError, match="does not allow"):
            await transfer(to)
    assert handset.done == []
    while call.playout.pull() is not None:
        pass
    await transfer("+1 (555) 0001")
    assert handset.done == ["transfer sip:+15550001@pbx.local"]


async def test_what_is_not_switched_on_is_not_offered(call: Call) -> None:
    assert [tool.name for tool in phone_tools(Handset(), lambda: call)] == ["end_call"]
    keys = phone_tools(Handset(), lambda: call, may_send_keys=True)
    assert [tool.name for tool in keys] == ["end_call", "send_dtmf"]
