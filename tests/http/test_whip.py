"""The HTTP routes as WHIP clients use them (RFC 9725)."""

from __future__ import annotations

import asyncio
import re
import time

import aiohttp
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from signaling.client.caller import call_service
from tests.support.http import CHROMIUM_OFFER, FRAGMENT, SDP, problem
from tests.support.service import ServiceFactory

UFRAG = re.search(r"a=ice-ufrag:(.*)\r", CHROMIUM_OFFER)


async def start_call(http: aiohttp.ClientSession) -> tuple[str, str]:
    """Return the call's URL and ETag."""
    async with http.post("/whip", data=CHROMIUM_OFFER, headers=SDP) as response:
        assert response.status == 201, await response.text()
        return response.headers["Location"], response.headers["ETag"]


@pytest.mark.parametrize("path", ["/whip", "/v1/realtime/calls"])
async def test_an_offer_is_answered(http: aiohttp.ClientSession, path: str) -> None:
    async with http.post(path, data=CHROMIUM_OFFER, headers=SDP) as response:
        answer = await response.text()
        assert response.status == 201
        assert response.headers["Content-Type"] == "application/sdp"
        call_id = response.headers["Location"].rpartition("/")[2]
        assert len(call_id.removeprefix("rtc_")) * 6 >= 96  # random bits
        assert re.fullmatch(r'"[^"]+"', response.headers["ETag"])
        assert answer.startswith("v=0")
        assert "a=sendrecv" in answer


async def test_mdns_candidates_cost_no_time(http: aiohttp.ClientSession) -> None:
    """aioice would resolve each .local name for a second; the first call pays for what is set up once."""
    assert ".local" in CHROMIUM_OFFER
    await start_call(http)
    started = time.perf_counter()
    await start_call(http)
    assert time.perf_counter() - started < 0.5


async def test_ice_servers_come_as_links(service: ServiceFactory) -> None:
    async with service(ice_servers=["stun:127.0.0.1:9"]) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/v1/ice-servers") as response:
            assert await response.json() == {"iceServers": [{"urls": ["stun:127.0.0.1:9"]}], "ttl": 3600}
        async with http.options("/whip") as response:
            assert "Link" not in response.headers  # RFC 9725 section 4.6: not in a preflight's reply


async def test_hang_up(http: aiohttp.ClientSession) -> None:
    location, _etag = await start_call(http)
    async with http.get(location) as response:
        assert response.status == 200
    async with http.delete(location) as response:
        assert response.status == 200
    await gone(http, location)
    async with http.delete(location) as response:  # whoever hangs up twice has what they want
        assert response.status == 200
    async with http.delete("/v1/realtime/calls/rtc_never") as response:
        assert response.status == 404
        assert (await problem(response))["title"] == "Not found"


async def test_hanging_up_a_call_whose_connection_was_just_closed(service: ServiceFactory) -> None:
    """Clients close the peer connection and then send DELETE; the service may have noticed the first by then."""
    async with service() as url, aiohttp.ClientSession() as http:
        async with call_service(url, hang_up=False) as caller:
            await caller.message("bot-ready")
        assert caller.location is not None
        await gone(http, caller.location)
        async with http.delete(caller.location) as response:
            assert response.status == 200


async def gone(http: aiohttp.ClientSession, location: str) -> None:
    for _ in range(200):
        await asyncio.sleep(0.02)
        async with http.get(location) as response:
            if response.status == 404:
                assert (await problem(response))["title"] == "Not found"
                return
    pytest.fail("the call is still there")


async def test_trickle(http: aiohttp.ClientSession) -> None:
    location, etag = await start_call(http)
    assert UFRAG is not None
    body = (
        f"a=ice-ufrag:{UFRAG[1]}\r\na=ice-pwd:x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        "a=candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host\r\n"
        "a=candidate:2 1 udp 2122260223 abc.local 50001 typ host\r\n"
        "a=candidate:nonsense\r\na=end-of-candidates\r\n"
    )
    async with http.patch(location, data=body, headers={**FRAGMENT, "If-Match": etag}) as response:
        assert response.status == 204
        assert "ETag" not in response.headers
    async with http.patch(location, data=body, headers=FRAGMENT) as response:
        assert response.status == 428
    async with http.patch(location, data=body, headers={**FRAGMENT, "If-Match": '"stale"'}) as response:
        assert response.status == 412
    async with http.patch(location, data=body, headers={**SDP, "If-Match": etag}) as response:
        assert response.status == 415
    async with http.patch(location, data="hello", headers={**FRAGMENT, "If-Match": etag}) as response:
        assert response.status == 400


async def test_ice_restart_is_declined_and_the_call_goes_on(http: aiohttp.ClientSession) -> None:
    location, etag = await start_call(http)
    body = "a=ice-ufrag:other\r\na=ice-pwd:0123456789012345678901\r\n"
    for if_match in ("*", etag):
        async with http.patch(location, data=body, headers={**FRAGMENT, "If-Match": if_match}) as response:
            assert response.status == 422
            await problem(response)
    async with http.get(location) as response:
        assert response.status == 200


AUDIO_REJECTED = CHROMIUM_OFFER.replace("m=audio 9 ", "m=audio 0 ")
NO_COMMON_CODEC = re.sub(
    r"m=audio 9 UDP/TLS/RTP/SAVPF .*\r", "m=audio 9 UDP/TLS/RTP/SAVPF 13 110\r", CHROMIUM_OFFER
)
DATA_ONLY = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + CHROMIUM_OFFER[CHROMIUM_OFFER.index("m=application") :]
)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (CHROMIUM_OFFER, {"Content-Type": "text/plain"}, 415),
        (CHROMIUM_OFFER, {"Content-Type": "application/json"}, 415),
        ("x" * (65 << 10), SDP, 413),
        ("hello", SDP, 400),
        ("", SDP, 400),
        (b"\xff\xfe", SDP, 400),
        ("v=0\r\nm=audio\r\n", SDP, 400),
        (CHROMIUM_OFFER.replace("a=fingerprint", "a=thumbprint"), SDP, 400),
        (CHROMIUM_OFFER.replace("a=setup:actpass", "a=setup:sideways"), SDP, 400),
        (AUDIO_REJECTED, SDP, 422),
        (NO_COMMON_CODEC, SDP, 422),
        (DATA_ONLY, SDP, 422),
    ],
)
async def test_a_bad_offer_is_refused(
    http: aiohttp.ClientSession, body: str | bytes, headers: dict[str, str], status: int
) -> None:
    async with http.post("/whip", data=body, headers=headers) as response:
        assert response.status == status, await response.text()
        assert (await problem(response))["detail"]
    async with http.get("/readyz") as response:
        assert (await response.json())["calls"] == 0


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
async def test_an_unknown_call(http: aiohttp.ClientSession, method: str) -> None:
    async with http.request(method, "/v1/realtime/calls/rtc_nobody", headers=FRAGMENT) as response:
        assert response.status == 404
        await problem(response)


async def test_unknown_path_and_method(http: aiohttp.ClientSession) -> None:
    async with http.get("/nothing/here") as response:
        assert response.status == 404
        await problem(response)
    async with http.put("/whip") as response:
        assert response.status == 405
        assert "POST" in response.headers["Allow"]
        await problem(response)


async def test_other_origins_may_call(service: ServiceFactory) -> None:
    async with service(cors_origins=["*"]) as url, aiohttp.ClientSession(url) as http:
        await _call_from_elsewhere(http)


async def _call_from_elsewhere(http: aiohttp.ClientSession) -> None:
    origin = {"Origin": "https://shop.example"}
    asking = {**origin, "Access-Control-Request-Method": "POST"}
    async with http.options("/whip", headers=asking) as response:
        assert response.status in (200, 204)
        assert response.headers["Accept-Post"] == "application/sdp"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        for header in ("Authorization", "Content-Type", "If-Match"):
            assert header in response.headers["Access-Control-Allow-Headers"]
    async with http.post("/whip", data=CHROMIUM_OFFER, headers={**SDP, **origin}) as response:
        for header in ("Location", "ETag", "Link"):
            assert header in response.headers["Access-Control-Expose-Headers"]
    async with http.post("/whip", data="x", headers={**SDP, **origin}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"  # or the page cannot read why


async def test_a_legal_offer_without_direction_is_answered(http: aiohttp.ClientSession) -> None:
    """RFC 8866 section 6.7: a section without a direction is sendrecv."""
    async with http.post("/whip", data=CHROMIUM_OFFER.replace("a=sendrecv\r\n", ""), headers=SDP) as response:
        assert response.status == 201
        assert "a=sendrecv" in await response.text()


LINES = CHROMIUM_OFFER.splitlines(keepends=True)


@pytest.mark.parametrize("removed", range(0, len(LINES), 3))
async def test_an_offer_that_lacks_a_line_is_never_our_fault(http: aiohttp.ClientSession, removed: int) -> None:
    offer = "".join(LINES[:removed] + LINES[removed + 1 :])
    async with http.post("/whip", data=offer, headers=SDP) as response:
        assert response.status in (201, 400, 422), await response.text()


@pytest.mark.parametrize(
    "name", ["group", "candidate", "fingerprint", "mid", "rtpmap", "fmtp", "extmap", "sctp-port"]
)
async def test_an_offer_with_a_cut_off_line_is_never_our_fault(http: aiohttp.ClientSession, name: str) -> None:
    offer = re.sub(rf"a={name}:[^\r]*", f"a={name}", CHROMIUM_OFFER)
    async with http.post("/whip", data=offer, headers=SDP) as response:
        assert response.status in (201, 400, 422), await response.text()


async def test_odd_headers_are_never_our_fault(service: ServiceFactory) -> None:
    async with service(server_key="k" * 20) as url, aiohttp.ClientSession(url) as http:
        headers = {**SDP, "Authorization": "Bearer \udcff\udcfe"}
        async with http.post("/whip", data=CHROMIUM_OFFER, headers=headers) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
    async with service() as url, aiohttp.ClientSession(url) as http:
        headers = {**SDP, "Content-Encoding": "gzip"}
        async with http.post("/whip", data=CHROMIUM_OFFER.encode(), headers=headers) as response:
            assert response.status == 400


async def test_the_server_key_is_wanted(service: ServiceFactory) -> None:
    key = "k" * 20
    async with service(server_key=key) as url, aiohttp.ClientSession(url) as http:
        for headers in (SDP, {**SDP, "Authorization": "Bearer wrong"}, {**SDP, "Authorization": key}):
            async with http.post("/whip", data=CHROMIUM_OFFER, headers=headers) as response:
                assert response.status == 401
                assert key not in await response.text()
        async with http.post(
            "/whip", data=CHROMIUM_OFFER, headers={**SDP, "Authorization": f"Bearer {key}"}
        ) as response:
            assert response.status == 201


async def test_a_full_service_says_when_to_come_back(service: ServiceFactory) -> None:
    async with service(max_calls=1) as url, aiohttp.ClientSession(url) as http:
        await start_call(http)
        async with http.post("/whip", data=CHROMIUM_OFFER, headers=SDP) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            await problem(response)
        async with http.get("/readyz") as response:
            assert response.status == 503
        async with http.get("/healthz") as response:
            assert response.status == 200


async def test_a_late_service_takes_no_further_call(service: ServiceFactory) -> None:
    """The service shares this loop, so it is late while the test blocks it."""
    async with service(overload_lag_ms=20) as url, aiohttp.ClientSession(url) as http:
        for _ in range(8):
            time.sleep(0.22)  # noqa: ASYNC251
            await asyncio.sleep(0.01)
        async with http.post("/whip", data=CHROMIUM_OFFER, headers=SDP) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            assert "overloaded" in str((await problem(response))["error"])
        async with http.get("/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "overloaded")
        for _ in range(200):  # 20 s
            await asyncio.sleep(0.1)
            async with http.get("/readyz") as response:
                if response.status == 200:
                    break
        await start_call(http)


async def test_the_second_video_section_is_kept(http: aiohttp.ClientSession) -> None:
    """Camera and screen: with aiortc's default bundle policy the second one would get no transport."""
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    pc.addTransceiver("video", direction="sendonly")
    pc.addTransceiver("video", direction="sendonly")
    await pc.setLocalDescription(await pc.createOffer())
    async with http.post("/whip", data=pc.localDescription.sdp, headers=SDP) as response:
        answer = await response.text()
        assert response.status == 201
    sections = answer.split("m=")[1:]
    assert [section.split()[0] for section in sections] == ["audio", "video", "video"]
    assert all("a=candidate" in section for section in sections)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await pc.close()


async def test_the_page_has_a_strict_policy(http: aiohttp.ClientSession) -> None:
    for path, kind in (("/", "text/html"), ("/main.js", "text/javascript"), ("/style.css", "text/css")):
        async with http.get(path) as response:
            assert response.status == 200
            assert response.content_type == kind
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
    for path in ("/../pyproject.toml", "/%2e%2e/pyproject.toml", "/.env", "/web/index.html"):
        async with http.get(path) as response:
            assert response.status == 404
