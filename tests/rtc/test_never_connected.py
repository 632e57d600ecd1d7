"""Offers that never connect open no Live session, end no call, and keep nobody out for long."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import aiohttp
import pytest
from aiortc import RTCPeerConnection

from agent.emulator import Emulator
from signaling.client.caller import call_service
from signaling.process import descriptors
from signaling.webrtc import pending
from tests.support.http import OFFER, SDP, metric
from tests.support.service import ServiceFactory

CROWD = 100


async def offer(http: aiohttp.ClientSession) -> tuple[int, str]:
    """Return the status, and the call or the reason."""
    async with http.post("/whip", data=OFFER, headers=SDP) as response:
        if response.status == 201:
            return 201, response.headers["Location"]
        assert int(response.headers["Retry-After"]) > 0
        return response.status, (await response.json())["error"]["code"]


def from_address(url: str, address: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(local_addr=(address, 0)))


async def test_a_crowd_opens_no_live_session_and_calls_are_answered(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service(max_calls=100) as url, call_service(url) as up:
        await up.message("bot-ready")
        async with from_address(url, "127.0.0.9") as crowd, aiohttp.ClientSession(url) as http:
            said: Counter[str | int] = Counter()
            for _ in range(CROWD):
                status, reason = await offer(crowd)
                said[status if status == 201 else reason] += 1
            assert said == {201: 50, "pending_full": 50}
            assert await metric(http, "talkspurt_pending_calls") == 50
            assert await metric(http, 'talkspurt_offers_refused_total{reason="pending_full"}') == 50
            for _ in range(2):
                async with call_service(url) as caller:
                    await caller.message("bot-ready")
                    caller.type("what is twelve plus thirty")
                    said_by_agent = await caller.message(
                        "bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=20
                    )
                    assert "42" in said_by_agent["text"]
                    assert await metric(http, "talkspurt_calls_given_up_total") == 1  # it has connected
            up.type("what is twelve plus thirty")
            await up.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=20)
            assert up.pc.connectionState == "connected"
        assert len(emulator.sessions) == 3


async def test_the_crowds_own_address_gets_in_once_its_oldest_offers_are_old(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(max_pending_calls=3) as url, aiohttp.ClientSession(url) as http:
        first = [await offer(http) for _ in range(3)]
        assert await offer(http) == (503, "pending_full")
        monkeypatch.setattr(pending, "MIN_PATIENCE_S", 0.0)
        assert (await offer(http))[0] == 201
        async with http.get(first[0][1]) as response:
            assert response.status == 404
        async with http.get(first[1][1]) as response:
            assert response.status == 200
        assert await metric(http, "talkspurt_calls_given_up_total") == 1


async def test_calls_that_are_up_are_not_pending(service: ServiceFactory) -> None:
    async with (
        service(max_calls=2, max_pending_calls=1) as url,
        aiohttp.ClientSession(url) as http,
        call_service(url),
    ):
        assert await metric(http, "talkspurt_pending_calls") == 0
        assert (await offer(http))[0] == 201
        assert await offer(http) == (503, "full")


async def test_a_call_that_is_hung_up_is_not_pending(service: ServiceFactory) -> None:
    async with service(max_pending_calls=1) as url, aiohttp.ClientSession(url) as http:
        for _ in range(3):
            status, location = await offer(http)
            assert status == 201
            async with http.delete(location):
                pass


async def test_offers_that_are_negotiated_have_their_place(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty come at once, so each alone would still find room."""
    slow = RTCPeerConnection.setLocalDescription

    async def set_slowly(pc: RTCPeerConnection, *args: object) -> None:
        await asyncio.sleep(0.2)
        await slow(pc, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(RTCPeerConnection, "setLocalDescription", set_slowly)
    async with service(max_calls=3) as url, aiohttp.ClientSession(url) as http:
        answers = Counter([(await each)[0] for each in asyncio.as_completed([offer(http) for _ in range(20)])])
        assert answers == {201: 3, 503: 17}
        assert await metric(http, "talkspurt_pending_calls") == 3


async def test_an_offer_that_fails_leaves_its_place(service: ServiceFactory) -> None:
    async with service(max_calls=1) as url, aiohttp.ClientSession(url) as http:
        for _ in range(3):
            async with http.post("/whip", data="v=0\r\n", headers=SDP) as response:
                assert response.status == 422
        assert (await offer(http))[0] == 201


async def test_without_descriptors_the_door_says_so(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with service() as url, aiohttp.ClientSession(url) as http:
        monkeypatch.setattr(descriptors, "limit", lambda: 10)
        for _ in range(5):
            assert await offer(http) == (503, "out_of_descriptors")
        monkeypatch.undo()
        monkeypatch.setattr(descriptors, "COUNT_INTERVAL_S", 0.0)
        assert (await offer(http))[0] == 201
    assert sum("file descriptors are in use" in record.getMessage() for record in caplog.records) == 1
