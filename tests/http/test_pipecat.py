"""What Pipecat's clients ask over HTTP, and what they are refused."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.support.http import CHROMIUM_OFFER, problem
from tests.support.service import ServiceFactory

OFFER = {"sdp": CHROMIUM_OFFER, "type": "offer", "pc_id": None, "restart_pc": False}
CANDIDATE = {
    "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 5000 typ host",
    "sdp_mid": "0",
    "sdp_mline_index": 0,
}


async def offered(http: aiohttp.ClientSession, path: str = "/api/offer", **changes: Any) -> dict[str, Any]:
    async with http.post(path, json={**OFFER, **changes}) as response:
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def test_a_session_is_only_a_name_for_where_to_send_offers(service: ServiceFactory) -> None:
    async with service(ice_servers=["stun:127.0.0.1:3478"]) as url, aiohttp.ClientSession(url) as http:
        async with http.post("/start", json={"transport": "webrtc", "body": {"any": "thing"}}) as response:
            started = await response.json()
        assert started["iceConfig"] == {"iceServers": [{"urls": ["stun:127.0.0.1:3478"]}]}
        async with http.post("/start") as response:
            assert (await response.json())["sessionId"] != started["sessionId"]
        answer = await offered(http, f"/sessions/{started['sessionId']}/api/offer")
        assert answer["type"] == "answer"
        assert "m=audio" in answer["sdp"]
        path = f"/sessions/{started['sessionId']}/api/offer"
        async with http.patch(path, json={"pc_id": answer["pc_id"], "candidates": [CANDIDATE]}) as response:
            assert response.status == 200
            assert await response.json() == {"status": "success"}
        async with http.get(f"/v1/realtime/calls/{answer['pc_id']}") as response:
            assert response.status == 200, "it is a call as any other"


async def test_a_new_peer_connection_joins_the_call_that_it_names(http: aiohttp.ClientSession) -> None:
    first = await offered(http)
    second = await offered(http, pc_id=first["pc_id"], restart_pc=True)
    assert second["pc_id"] == first["pc_id"]
    assert second["sdp"] != first["sdp"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"pc_id": "rtc_unknown", "restart_pc": True}, 404, "unknown_call"),
        ({"sdp": ""}, 422, "invalid_offer"),
        ({"type": "answer"}, 422, "invalid_offer"),
        ({"pc_id": 7}, 422, "invalid_pc_id"),
        ({"sdp": "v=0"}, 422, "no_acceptable_audio"),
    ],
)
async def test_offers_that_are_refused(http: aiohttp.ClientSession, body: Any, status: int, code: str) -> None:
    async with http.post("/api/offer", json={**OFFER, **body}) as response:
        assert response.status == status
        told: Any = await problem(response)
        assert told["error"]["code"] == code


async def test_a_connection_is_not_renegotiated(http: aiohttp.ClientSession) -> None:
    first = await offered(http)
    async with http.post("/api/offer", json={**OFFER, "pc_id": first["pc_id"]}) as response:
        assert response.status == 422
        assert "restart_pc" in str((await problem(response))["detail"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"pc_id": "rtc_unknown", "candidates": []}, 404),
        ({"candidates": [CANDIDATE]}, 422),
        ({"pc_id": "rtc_1", "candidates": "none"}, 422),
        ({"pc_id": "rtc_1", "candidates": [CANDIDATE] * 300}, 422),
    ],
)
async def test_candidates_that_are_refused(http: aiohttp.ClientSession, body: Any, status: int) -> None:
    async with http.patch("/api/offer", json=body) as response:
        assert response.status == status
        await problem(response)


async def test_odd_candidates_are_left_out(http: aiohttp.ClientSession) -> None:
    first = await offered(http)
    odd = [CANDIDATE, 7, {}, {"candidate": 7}, {"candidate": "x"}, {"candidate": "", "sdp_mid": "0"}]
    async with http.patch("/api/offer", json={"pc_id": first["pc_id"], "candidates": odd}) as response:
        assert response.status == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/start"), ("POST", "/api/offer"), ("PATCH", "/api/offer")])
async def test_each_request_needs_the_key(service: ServiceFactory, method: str, path: str) -> None:
    async with service(server_key="the-servers-own-key") as url, aiohttp.ClientSession(url) as http:
        for headers in ({}, {"Authorization": "Bearer another-key"}):
            async with http.request(method, path, json=OFFER, headers=headers) as response:
                assert response.status == 401
                assert "server key" in str((await problem(response))["detail"])


async def test_pages_of_other_sites_need_a_setting(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/offer", json=OFFER, headers={"Origin": "https://else.example"}) as response:
        assert response.status == 403
