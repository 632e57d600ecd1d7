"""Pages of other sites, and foreign names that point here, get nothing, and nothing is done for them."""

from __future__ import annotations

from itertools import product
from typing import Any

import aiohttp

from agent.settings import Settings
from signaling.http.origins import Origins, origins_of
from tests.support.http import CHROMIUM_OFFER, SDP, problem
from tests.support.service import ServiceFactory

KEY = "k" * 20
EVIL = {"Origin": "https://evil.example"}
ROUTES = (
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/ice-servers",
    "/whip",
    "/v1/realtime/calls/rtc_x",
    "/nowhere",
)


async def test_a_foreign_page_gets_nothing(http: aiohttp.ClientSession) -> None:
    foreign = ("https://evil.example", "null", "http://localhost.evil.example", "file://", "x", "http://[::1", "")
    for origin, path, method in product(foreign, ROUTES, ("GET", "OPTIONS", "POST", "DELETE")):
        async with http.request(method, path, headers={"Origin": origin}) as response:
            assert response.status == 403, (origin, path, method)
            assert "Access-Control-Allow-Origin" not in response.headers
            if method != "OPTIONS":
                assert "foreign_origin" in str(await problem(response))


async def test_a_rebound_name_gets_nothing(http: aiohttp.ClientSession) -> None:
    rebound = ("evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "", "[::1")
    for host, path in product(rebound, ROUTES):
        async with http.get(path, headers={"Host": host, "Origin": f"http://{host}"}) as response:
            assert response.status == 421, (host, path)


async def test_the_services_own_names_are_good(http: aiohttp.ClientSession) -> None:
    for host in (
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:8080",
        "192.0.2.7",
    ):
        for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
            async with http.get("/healthz", headers=headers) as response:
                assert response.status == 200, host


async def test_pages_of_this_machine_may_call_a_service_on_loopback(http: aiohttp.ClientSession) -> None:
    headers = {**SDP, "Origin": "http://localhost:3000"}
    async with http.post("/whip", data=CHROMIUM_OFFER, headers=headers) as response:
        assert response.status == 201
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert "Origin" in response.headers["Vary"]


async def test_pages_of_allowed_sites_may_call(service: ServiceFactory) -> None:
    async with service(cors_origins=["https://shop.example"]) as url, aiohttp.ClientSession(url) as http:
        headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        async with http.options("/whip", headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        async with http.post("/whip", data=CHROMIUM_OFFER, headers={**SDP, **EVIL}) as response:
            assert response.status == 403


async def test_no_page_can_show_what_it_may_not_read(http: aiohttp.ClientSession) -> None:
    """A page can have a browser load a URL without asking first; the answer stays out of its process."""
    for path in ("/metrics", "/readyz", "/healthz", "/"):
        async with http.get(path) as response:
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def origins(**values: Any) -> Origins:
    return origins_of(Settings(**values))


def test_with_a_key_any_name_is_good_beyond_loopback() -> None:
    assert origins(host="0.0.0.0", server_key=KEY).knows_host("agent.example")
    assert not origins(host="0.0.0.0", insecure=True).knows_host("agent.example")
    assert not origins(host="127.0.0.1", server_key=KEY).knows_host("agent.example")


def test_names_can_be_listed() -> None:
    named = origins(host="0.0.0.0", server_key=KEY, allowed_hosts=["Agent.example"])
    assert named.knows_host("agent.EXAMPLE:443")
    assert named.knows_host("localhost")
    assert named.knows_host(None)
    assert not named.knows_host("evil.example")
    assert origins(allowed_hosts=["*"]).knows_host("evil.example")


def test_beyond_loopback_other_pages_of_this_machine_are_foreign() -> None:
    far = origins(host="0.0.0.0", server_key=KEY)
    assert not far.allows("http://localhost:3000", "agent.example")
    assert far.allows("https://agent.example", "agent.example")
    assert not far.allows("https://agent.example:8443", "agent.example")
    assert origins(cors_origins=["*"]).allows("null", None)
