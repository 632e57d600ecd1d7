"""Calls that reach a limit: usage is reported, the goodbye is heard, then the call ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest

from agent.dialog.goodbye import GOODBYE_S
from agent.emulator import Play, Turn, running_emulator
from agent.emulator.model import phrases
from agent.errors import ConfigError, OfferError
from agent.live.config import LiveEndpoint
from agent.media.fir import Pcm
from agent.settings import Settings
from signaling.app import running
from signaling.client.caller import Caller, call_service
from tests.support.http import SDP
from tests.support.line import witnessed
from tests.support.service import ServiceFactory, service_for
from tests.survival.registry import survives

KEY = "a-key-of-the-server"
DEAR = {"fault": "usage", "prompt": {"AUDIO": 10_000}, "response": {"AUDIO": 1_000}, "turn": 1}  # $0.03 and $0.012


@asynccontextmanager
async def calling(
    *faults: dict[str, Any], on_turn: Any = None, **changes: Any
) -> AsyncIterator[tuple[Caller, str]]:
    """Dial a service whose emulator has faults; yields the caller, who can be heard, and the service's address."""
    script = "\n".join(map(json.dumps, faults))
    async with (
        running_emulator(faults=script, on_turn=on_turn, speech_recognition=False) as emulator,
        service_for(emulator, offline_demo=True, **changes) as url,
        call_service(url, hang_up=False) as caller,
    ):
        await caller.message("bot-ready")
        async with witnessed(caller, url):
            yield caller, url


async def told(caller: Caller, kind: str, timeout_s: float = 10.0) -> dict[str, Any]:
    return await caller.message("server-message", lambda data: data["type"] == kind, timeout_s=timeout_s)


def kinds(caller: Caller) -> list[str]:
    """Return the types of the messages so far, those of server-messages by their own."""
    return [(m.get("data") or {}).get("type", m["type"]) for m in caller.messages]


def loud_s(pcm: Pcm, rate_hz: int) -> float:
    frames = pcm[: len(pcm) // 480 * 480].reshape(-1, 480).astype(float)
    return float((np.sqrt((frames**2).mean(axis=1)) > 300).sum() * 480 / rate_hz)


@survives(
    "the call's budget is spent",
    caller="the agent says goodbye, then the call ends",
    events=("usage-reported", "limit-near budget", "call-ended"),
    log="ended: budget_spent",
    metric='talkspurt_calls_ended_total{reason="budget_spent"}',
)
async def test_a_spent_budget_ends_the_call_after_the_goodbye() -> None:
    async with calling(DEAR, budget_usd=0.04) as (caller, _):
        caller.type("what is one plus one")
        usage = await told(caller, "usage-reported")
        assert usage["cost_usd"] == pytest.approx(0.042, abs=0.002)  # and what the emulator's own turn took
        assert usage["tokens"]["prompt"]["AUDIO"] >= 10_000
        near = await told(caller, "limit-near")
        assert (near["kind"], near["limit"]) == ("budget", 0.04)
        assert near["used"] == usage["cost_usd"]
        farewell = await told(caller, "call-ended", timeout_s=25)
        assert (farewell["reason"], farewell["fault"]) == ("budget_spent", "operator")
        said = [m["data"]["text"] for m in caller.messages if m["type"] == "bot-output" and m["data"]["text"]]
        assert said[-1] == phrases.GOODBYE
        spoken = [kind for kind in kinds(caller) if kind in ("bot-started-speaking", "bot-stopped-speaking")]
        assert spoken[-1] == "bot-stopped-speaking"
        assert "error" not in kinds(caller)
        assert kinds(caller).count("limit-near") == 1
        heard = caller.heard_pcm()
        assert loud_s(heard, caller.heard_rate_hz) > 2  # the answer and the goodbye
        await caller.ended()


async def test_a_quiet_call_ends_idle() -> None:
    async with calling(idle_timeout_s=1.0) as (caller, url):
        near = await told(caller, "limit-near")
        assert (near["kind"], near["limit"]) == ("idle", 1.0)
        farewell = await told(caller, "call-ended", timeout_s=20)
        assert farewell["reason"] == "idle"
        said = [m["data"]["text"] for m in caller.messages if m["type"] == "bot-output"]
        assert said[-1] == phrases.GOODBYE
        assert loud_s(caller.heard_pcm(), caller.heard_rate_hz) > 1
        await caller.ended(timeout_s=5)
        async with aiohttp.ClientSession() as http, http.get(f"{url}metrics") as response:
            assert 'talkspurt_calls_ended_total{reason="idle"} 1.0' in await response.text()


async def test_an_agent_that_speaks_for_long_is_not_idle() -> None:
    async with calling(idle_timeout_s=2.0) as (caller, _):
        caller.type("tell me a long story")
        await caller.message("bot-started-speaking")
        heard = len(caller.heard)
        await caller.until(lambda: len(caller.heard) > heard + 200)  # 4 s
        assert "limit-near" not in kinds(caller)
        assert "call-ended" not in kinds(caller)


@survives(
    "the call has lasted for `max_duration_s`, and the model says no goodbye",
    caller="the call ends some seconds later",
    events=("limit-near max_duration", "call-ended"),
    log="ended: max_duration",
)
async def test_a_model_that_says_no_goodbye_does_not_hold_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOODBYE_S, "reply", 0.5)

    def silent(_turn: Turn) -> tuple[Play, ...]:
        return (Play(np.zeros(0, np.int16)),)

    async with calling(on_turn=silent, max_duration_s=2.0) as (caller, _):
        farewell = await told(caller, "call-ended")
        assert farewell["reason"] == "max_duration"
        await caller.ended()


async def test_what_a_call_took_is_shown() -> None:
    async with calling(DEAR) as (caller, url):
        caller.type("what is one plus one")
        usage = await told(caller, "usage-reported")
        assert caller.location is not None
        async with aiohttp.ClientSession() as http:
            async with http.get(caller.location) as response:
                state = await response.json()
            async with http.get(f"{url}metrics") as response:
                metrics = await response.text()
        assert state["usage"] == {"tokens": usage["tokens"], "cost_usd": usage["cost_usd"]}
        prompt = usage["tokens"]["prompt"]["AUDIO"]
        assert f'talkspurt_tokens_total{{direction="prompt",modality="AUDIO"}} {float(prompt)}' in metrics
        assert f"talkspurt_cost_usd_total {usage['cost_usd']}" in metrics


async def test_a_model_without_a_price_has_no_cost_and_no_budget(caplog: pytest.LogCaptureFixture) -> None:
    async with calling(DEAR, model="gemini-of-tomorrow") as (caller, _):
        caller.type("what is one plus one")
        usage = await told(caller, "usage-reported")
        assert usage["cost_usd"] is None
        assert usage["tokens"]["prompt"]["AUDIO"] >= 10_000
    assert (
        sum("there is no price for the model gemini-of-tomorrow" in record.message for record in caplog.records)
        == 1
    )
    with pytest.raises(ConfigError, match="cannot be enforced: there is no price for the model gemini-of"):
        async with running(
            Settings(port=0, model="gemini-of-tomorrow", budget_usd=1), LiveEndpoint("k", "https://127.0.0.1:9")
        ):
            pass


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"daily_budget_usd": 0.04}, "daily_budget_spent"),
        ({"daily_minutes": 0.05}, "daily_minutes_used"),
    ],
)
async def test_calls_end_with_a_goodbye_and_offers_wait(settings: dict[str, float], reason: str) -> None:
    async with calling(DEAR, **settings) as (caller, url):
        caller.type("hello")
        farewell = await told(caller, "call-ended", timeout_s=40)
        assert (farewell["reason"], farewell["fault"]) == (reason, "operator")
        assert "error" not in [message["type"] for message in caller.messages]
        assert "bot-started-speaking" in [message["type"] for message in caller.messages]
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{url}whip", data="v=0", headers=SDP) as response:
                assert response.status == 429
                assert 86_000 < int(response.headers["Retry-After"]) <= 87_600
                assert (await response.json(content_type=None))["error"]["code"] == reason
            async with http.get(f"{url}metrics") as response:
                metrics = await response.text()
        limit = reason.rpartition("_")[0]
        assert f'talkspurt_budget_refusals_total{{limit="{limit}"}} 1.0' in metrics
        assert 'talkspurt_daily_minutes{account="total"}' in metrics


async def test_a_keys_calls_are_charged_to_it(service: ServiceFactory) -> None:
    async with service(server_key=KEY, key_daily_minutes=0.001) as url:
        async with call_service(url, key=KEY) as caller:
            await caller.message("bot-ready")
            await told(caller, "call-ended", timeout_s=40)
        with pytest.raises(OfferError, match="as long as they may"):
            async with call_service(url, key=KEY):
                pass
        async with aiohttp.ClientSession() as http, http.get(f"{url}metrics") as response:
            assert 'talkspurt_daily_minutes{account="server_key"}' in await response.text()
