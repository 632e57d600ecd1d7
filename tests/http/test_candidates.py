"""An offer cannot be used to scan networks: where checks go, to how many addresses, and what candidates cost."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import closing

import aiohttp
import aioice.ice
import pytest

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.client.caller import call_service
from signaling.http.ice import check_media_addresses
from signaling.webrtc import sdp, trickle
from signaling.webrtc.candidates import MAX_CANDIDATES
from signaling.webrtc.trickle import parse_fragment
from tests.support.http import FRAGMENT, OFFER, SDP, metric
from tests.support.service import ServiceFactory


def candidate(address: str, port: int) -> str:
    return f"a=candidate:1 1 udp 2122260223 {address} {port} typ host\n"


async def offered(http: aiohttp.ClientSession, offer: str) -> tuple[str, str]:
    async with http.post("/whip", data=offer, headers=SDP) as response:
        assert response.status == 201, await response.text()
        return response.headers["Location"], response.headers["ETag"]


async def trickled(http: aiohttp.ClientSession, call: tuple[str, str], lines: str) -> None:
    location, etag = call
    body = f"a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{lines}"
    async with http.patch(location, data=body, headers={**FRAGMENT, "If-Match": etag}) as response:
        assert response.status == 204


async def is_checked(http: aiohttp.ClientSession, victim: socket.socket, *, expected: bool) -> bool:
    """Return whether a check arrives; if none is expected, wait until well after another call was answered."""
    loop = asyncio.get_running_loop()
    if not expected:
        await offered(http, OFFER)
    try:
        return bool(await asyncio.wait_for(loop.sock_recv(victim, 2048), 5 if expected else 0.5))
    except TimeoutError:
        return False


def listener(address: str = "127.0.0.1") -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((address, 0))
    found.setblocking(False)
    return found


@pytest.mark.parametrize("trickles", [False, True])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"host": "0.0.0.0", "insecure": True}, False),
        ({"host": "0.0.0.0", "insecure": True, "candidate_networks": ["127.0.0.0/8"]}, True),
    ],
)
async def test_checks_go_to_loopback_only_if_the_door_is_there(
    service: ServiceFactory, settings: dict[str, object], expected: bool, trickles: bool
) -> None:
    with closing(listener()) as victim:
        line = candidate("127.0.0.1", victim.getsockname()[1])
        async with service(**settings) as url, aiohttp.ClientSession(url) as http:
            if trickles:
                await trickled(http, await offered(http, OFFER), line)
            else:
                await offered(http, OFFER + line)
            assert await is_checked(http, victim, expected=expected) is expected
            ignored = await metric(http, 'talkspurt_candidates_ignored_total{reason="not_allowed"}')
            assert (ignored > 0) is not expected


async def test_checks_go_to_this_machines_private_address_by_a_setting_only(service: ServiceFactory) -> None:
    own = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False)
    if not own or ipaddress.ip_address(own[0]).is_global:
        pytest.skip("this machine has no private address")
    for networks in ([], [f"{own[0]}/32"]):
        with closing(listener(own[0])) as victim:
            async with service(candidate_networks=networks) as url, aiohttp.ClientSession(url) as http:
                await offered(http, OFFER + candidate(own[0], victim.getsockname()[1]))
                assert await is_checked(http, victim, expected=bool(networks)) is bool(networks)


async def test_so_many_candidates_are_taken_over_offer_and_patches(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new candidate is sorted into all others, so sixty kilobytes of them must not all be kept."""
    added: list[int] = []
    sort = aioice.ice.sort_candidate_pairs

    def count(pairs: list[aioice.ice.CandidatePair], ice_controlling: bool) -> None:
        added.append(len(pairs))
        sort(pairs, ice_controlling)

    monkeypatch.setattr(aioice.ice, "sort_candidate_pairs", count)
    async with service() as url, aiohttp.ClientSession(url) as http:
        call = await offered(http, OFFER + "".join(candidate("127.0.0.2", port) for port in range(1000, 1020)))
        lines = [candidate("127.0.0.2", port) for port in range(1000, 2000)]
        assert len("".join(lines)) > 50 << 10
        for _ in range(3):
            await trickled(http, call, "".join(lines))
        assert await metric(http, 'talkspurt_candidates_ignored_total{reason="too_many"}') == 3 * (
            1000 - MAX_CANDIDATES
        )
        sockets = max(added) / MAX_CANDIDATES  # each pairs with each candidate
        assert sockets == int(sockets)
        assert MAX_CANDIDATES <= len(added) <= MAX_CANDIDATES + 1  # and once when the checks begin


def test_a_fragment_is_read_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    usable = sdp.usable_candidate

    def count(value: str) -> str | None:
        read.append(value)
        return usable(value)

    monkeypatch.setattr(trickle, "usable_candidate", count)
    lines = [candidate("127.0.0.1", 1 + number) for number in range(1000)]
    assert len(parse_fragment("".join(lines)).candidates) == len(read) == 1000


async def test_a_server_that_never_answers_delays_no_answer(service: ServiceFactory) -> None:
    """aioice alone would wait five seconds for it."""
    loop = asyncio.get_running_loop()
    with closing(listener()) as silent:
        servers = [f"stun:127.0.0.1:{silent.getsockname()[1]}"]
        async with service(ice_servers=servers) as url, aiohttp.ClientSession(url) as http:
            began = loop.time()
            await offered(http, OFFER)
            assert loop.time() - began < 3
            async with call_service(url) as caller:
                await caller.message("bot-ready")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.3"])
async def test_media_is_waited_for_where_the_setting_says(service: ServiceFactory, address: str) -> None:
    """A caller with other addresses of this machine still reaches it."""
    async with service(media_addresses=[address]) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        answer = caller.pc.remoteDescription.sdp
        hosts = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
        assert hosts == {address}


def test_addresses_of_other_machines_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot receive media on 192\.0\.2\.1: .*this machine"):
        check_media_addresses(Settings(media_addresses=["127.0.0.1", "192.0.2.1"]))
    check_media_addresses(Settings(media_addresses=["127.0.0.1"]))
