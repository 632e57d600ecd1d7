"""A call that is over is summed up by the real SDK over TLS, or has failed for a reason that is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, cast

import pytest
from pydantic import BaseModel

import agent.live.summary
from agent import Agent, CallSummarised, Spoken
from agent.author.load import load_agent
from agent.call.call import Call
from agent.call.hooks import HookCounts
from agent.call.summary import Summariser
from agent.clock import monotonic
from agent.dialog.daily import Account, Purse
from agent.dialog.prices import parse_prices
from agent.emulator import Emulator, GenerateRequest, running_emulator
from agent.emulator.faults.kinds import BadAnswer, Fault, RefuseGenerate, SlowAnswer
from agent.live.client import live_client
from agent.live.config import LiveEndpoint
from agent.settings import Settings
from signaling.webrtc.summaries import AT_ONCE, Summaries
from tests.support.service import call_agent

SAID = (Spoken("agent", "Hello."), Spoken("caller", "A taxi for two, my secret is Rumpelstilzchen."))
PRICES = parse_prices("[models.m.prompt]\nTEXT = 500000\n[models.m.response]\nTEXT = 500000\n", "prices")
GOOD = {"summary": "A taxi.", "data": {"wants": "taxi", "people": 2}}


class Note(BaseModel):
    wants: Literal["table", "taxi"]
    people: int


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent.live.summary, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(random, "randint", lambda low, _high: low)  # the SDK's own pause on a lost connection


async def summarised(
    faults: Sequence[Fault] = (),
    said: Sequence[Spoken] = SAID,
    on_generate: Callable[[GenerateRequest], Any] | None = lambda asked: GOOD,
    *,
    vertex: bool = False,
    key: str = "test-key",
) -> tuple[CallSummarised, Emulator]:
    async with running_emulator(faults=faults, on_generate=on_generate) as emulator:
        endpoint = LiveEndpoint(key, emulator.url, str(emulator.ca_file), vertex=vertex)
        client = live_client(endpoint, Settings())
        wish = Agent(summary=True, extract=Note).summary_wish()
        assert wish is not None
        try:
            found, _meter = await Summariser(client, wish, "m", PRICES).summarise("c1", said)
        finally:
            await client.aio.aclose()
        return found, emulator


@pytest.mark.parametrize("vertex", [False, True])
async def test_a_call_is_summed_up(vertex: bool) -> None:
    found, emulator = await summarised(vertex=vertex)
    assert (found.state, found.summary, found.data) == ("done", "A taxi.", {"wants": "taxi", "people": 2})
    (record,) = emulator.generated
    assert record.request is not None
    assert "Rumpelstilzchen" in record.request.text
    assert record.request.schema is not None
    assert record.request.schema["required"] == ["summary", "data"]
    assert record.request.body.get("store") is (None if vertex else False)
    tokens = sum(sum(by.values()) for by in found.tokens.values())
    assert tokens > 0
    assert found.cost_usd == pytest.approx(tokens / 2)


@pytest.mark.parametrize(
    ("faults", "reason", "requests"),
    [
        ([BadAnswer(what="not_json")], "not_json", 1),
        ([BadAnswer(what="unfit")], "unfit", 1),
        ([BadAnswer(what="cut_off")], "cut_off", 1),
        ([BadAnswer(what="safety")], "refused", 1),
        ([BadAnswer(what="blocked")], "refused", 1),
        ([BadAnswer(what="empty")], "empty", 1),
        ([RefuseGenerate(status=400)], "rejected", 1),
        ([RefuseGenerate(status=403)], "rejected", 1),
        ([RefuseGenerate(status=404)], "rejected", 1),
        ([RefuseGenerate(status=429)], "unavailable", 4),
        ([RefuseGenerate(status=500)], "unavailable", 4),
    ],
)
async def test_what_goes_wrong_is_told(
    faults: Sequence[Fault], reason: str, requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    found, emulator = await summarised(faults)
    assert (found.state, found.reason, found.summary, found.data) == ("failed", reason, None, None)
    assert found.detail
    assert len(emulator.generated) == requests
    assert "Rumpelstilzchen" not in found.detail + caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        RefuseGenerate(status=429, times=1, retry_after_s=0.01),
        RefuseGenerate(status=503, times=3),
        BadAnswer(what="dropped", nth=1),
    ],
)
async def test_what_passes_is_asked_again(fault: Fault) -> None:
    found, emulator = await summarised([fault])
    assert found.state == "done"
    assert len(emulator.generated) > 1


async def test_a_server_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent.live.summary, "ATTEMPTS", 2)
    client = live_client(LiveEndpoint("k", "https://127.0.0.1:1"), Settings())
    wish = Agent(summary=True).summary_wish()
    assert wish is not None
    found, _meter = await Summariser(client, wish, "m", PRICES).summarise("c1", SAID)
    await client.aio.aclose()
    assert (found.state, found.reason) == ("failed", "unavailable")


async def test_a_slow_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.call.summary.DEADLINE_S", 0.3)
    found, _emulator = await summarised([SlowAnswer(delay_s=20)])
    assert (found.state, found.reason) == ("failed", "too_late")


async def test_nothing_is_made_up_of_a_call_without_a_word() -> None:
    found, emulator = await summarised(said=())
    assert (found.state, found.reason, len(emulator.generated)) == ("failed", "nothing_said", 0)


async def test_the_demo_fits_any_schema() -> None:
    found, _emulator = await summarised(on_generate=None)
    assert found.state == "done"


class OverCall:
    """A call that is over."""

    caller = None
    metadata: Mapping[str, str] = MappingProxyType({})
    asides = SimpleNamespace()

    def __init__(self, call_id: str, account: Account) -> None:
        self.call_id = call_id
        self.purse = Purse([account])

    def spoken(self) -> tuple[Spoken, ...]:
        return SAID


async def test_so_many_are_summed_up_at_once_and_all_are_told_at_shutdown() -> None:
    waiting = asyncio.Event()
    told: dict[str, CallSummarised] = {}
    hooked: list[str] = []
    account = Account("total", None, None)

    async def hook(call: Any, summarised: CallSummarised) -> None:
        hooked.append(call.call_id)

    faults = [SlowAnswer(delay_s=30, nth=number) for number in range(2, AT_ONCE + 2)]
    async with running_emulator(faults=faults, on_generate=lambda asked: GOOD) as emulator:
        client = live_client(LiveEndpoint("k", emulator.url, str(emulator.ca_file)), Settings())
        wish = Agent(summary=True, extract=Note).summary_wish()
        assert wish is not None
        summaries = Summaries(Summariser(client, wish, "m", PRICES), hook, HookCounts())

        def observe(call_id: str, summarised: CallSummarised) -> None:
            told[call_id] = summarised
            waiting.set()

        summaries.observers.append(observe)
        summaries.begin(cast("Call", OverCall("first", account)))
        await waiting.wait()
        for number in range(AT_ONCE + 2):
            summaries.begin(cast("Call", OverCall(f"c{number}", account)))
        await emulator.wait_for(lambda: len(emulator.generated) > AT_ONCE)
        await summaries.drain(0.1)
        await client.aio.aclose()
        assert len(emulator.generated) == AT_ONCE + 1
    assert told["first"].state == "done"
    assert account.usd(monotonic()) == pytest.approx(told["first"].cost_usd)
    assert {call_id: each.reason for call_id, each in told.items() if each.state == "failed"} == {
        f"c{number}": "shutdown" for number in range(AT_ONCE + 2)
    }
    assert sorted(hooked) == sorted(told)
    assert summaries.states == {("done", ""): 1, ("failed", "shutdown"): AT_ONCE + 2}


async def test_the_example_keeps_a_note_of_a_real_call() -> None:
    path = Path(__file__).parent.parent.parent / "examples" / "after_call.py"
    definition = load_agent(str(path), (), Agent())
    assert definition.on_call_summarised is not None
    notes: dict[str, str] = definition.on_call_summarised.__globals__["notes"]

    def model(asked: GenerateRequest) -> Any:
        assert "what is twelve plus thirty" in asked.text
        return {"summary": "It hurts.", "data": {"wants": "appointment", "pain": True, "phone": "+49 30 123456"}}

    async with running_emulator(on_generate=model) as emulator, call_agent(definition, emulator) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        await caller.message("bot-output", lambda data: "42" in data["text"], timeout_s=15)
        assert emulator.generated == type(emulator.generated)()
        # leaving ends the service, which waits for the summary
    assert list(notes.values()) == ["URGENT: appointment, +49 30 123456: It hurts."]
