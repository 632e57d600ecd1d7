"""No more calls are accepted while callers hear that the service is late."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from agent import overload
from signaling.client.caller import call_service
from signaling.webrtc import calls
from tests.support.http import OFFER, SDP
from tests.support.service import ServiceFactory


async def test_late_voices_keep_further_calls_away_until_they_are_on_time(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "VOICES_INTERVAL_S", 0.2)
    monkeypatch.setattr(overload, "MIN_PACKETS", 1)
    monkeypatch.setattr(overload, "MAX_LATE_SHARE", -1.0)  # every packet counts as late

    async def offer(http: aiohttp.ClientSession) -> str:
        async with http.post("/whip", data=OFFER, headers=SDP) as response:
            return "" if response.status == 201 else str((await response.json())["error"]["code"])

    async with service() as url, aiohttp.ClientSession(url) as http:
        async with call_service(url) as caller, asyncio.timeout(20):
            await caller.message("bot-ready")
            caller.type("tell me a long story")
            while await offer(http) != "overloaded":  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.1)
            assert caller.pc.connectionState == "connected"
        async with asyncio.timeout(20):
            while await offer(http) == "overloaded":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
