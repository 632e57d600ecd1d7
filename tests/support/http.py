"""Requests to the service's HTTP routes, and what the answers say."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp

DATA = Path(__file__).parent.parent / "data"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
SECURITY = (
    f"a=ice-ufrag:abcd\na=ice-pwd:{'p' * 24}\na=fingerprint:sha-256 {':'.join(['AB'] * 32)}\na=setup:actpass\n"
)
OFFER = (
    "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\na=sendrecv\n"
    "a=rtcp-mux\na=rtpmap:111 opus/48000/2\n" + SECURITY
)
CHROMIUM_OFFER = (DATA / "chromium_offer_mdns.sdp").read_bytes().decode()


async def problem(response: aiohttp.ClientResponse) -> dict[str, object]:
    """Return the body of an error, which must be application/problem+json (RFC 9457)."""
    assert response.content_type == "application/problem+json"
    body: dict[str, object] = await response.json(content_type="application/problem+json")
    assert body["status"] == response.status
    assert isinstance(body["error"], dict)
    assert body["error"]["message"] == body["detail"]
    return body


async def metric(http: aiohttp.ClientSession, name: str) -> float:
    """Return a metric, given as it is written there with its labels; 0 if it is not there."""
    async with http.get("/metrics") as response:
        found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0
