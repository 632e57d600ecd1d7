"""Connections that are held open and send nothing are closed, and keep nobody out."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import aiohttp
import pytest

from signaling.http import connections
from tests.support.service import ServiceFactory

HALF = b"POST /whip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Ty"
BODYLESS = (
    b"POST /whip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\nv=0"
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(url: str, stack: AsyncExitStack, sent: bytes = b"") -> Streams:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    stack.callback(writer.close)
    writer.write(sent)
    return reader, writer


async def is_answered(url: str) -> None:
    async with aiohttp.ClientSession(url) as http, http.get("/healthz") as response:
        assert response.status == 200


async def test_a_crowd_of_half_requests_keeps_nobody_out(
    service: ServiceFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(max_connections=20) as url, AsyncExitStack() as stack:
        crowd = [await connect(url, stack, HALF) for _ in range(60)]
        for _ in range(5):
            await is_answered(url)
        for reader, _ in crowd[:40]:
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
        async with aiohttp.ClientSession(url) as http, http.get("/metrics") as response:
            assert 'talkspurt_http_connections_closed_total{kind="idle"} 4' in await response.text()
    assert sum("make room" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("sent", [b"", HALF])
async def test_who_sends_no_request_is_closed(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_TIMEOUT_S", 0.2)
    async with service() as url, AsyncExitStack() as stack:
        reader, _ = await connect(url, stack, sent)
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_who_sends_half_a_body_is_answered_and_closed(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 0.2)
    async with service() as url, AsyncExitStack() as stack:
        reader, _ = await connect(url, stack, BODYLESS)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in head


@pytest.mark.parametrize("claim", [b"Upgrade: websocket", b"Connection: Upgrade\r\nUpgrade: h2c"])
async def test_a_half_body_that_claims_to_upgrade_is_no_exception(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch, claim: bytes
) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 0.2)
    async with service() as url, AsyncExitStack() as stack:
        reader, _ = await connect(url, stack, BODYLESS.replace(b"\r\n\r\n", b"\r\n" + claim + b"\r\n\r\n"))
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")


async def test_a_form_has_longer_than_other_requests(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 0.1)
    monkeypatch.setattr(connections, "FORM_TIMEOUT_S", 1.0)
    half = BODYLESS.replace(b"application/sdp", b"multipart/form-data; boundary=x")
    async with service() as url, AsyncExitStack() as stack:
        began = asyncio.get_running_loop().time()
        reader, _ = await connect(url, stack, half)
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
        assert asyncio.get_running_loop().time() - began >= 0.9


async def test_a_second_request_may_follow_later(service: ServiceFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_TIMEOUT_S", 0.2)
    async with service() as url, AsyncExitStack() as stack:
        reader, writer = await connect(url, stack)
        for pause_s in (0, 0.4):
            await asyncio.sleep(pause_s)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"}"), 5)).startswith(b"HTTP/1.1 200 ")


async def test_what_is_not_http_leaves_a_line_a_minute(
    service: ServiceFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with service() as url, AsyncExitStack() as stack:
        for _ in range(20):
            reader, writer = await connect(url, stack, b"GET / HTTP/9.9\r\nX\r\n\r\n")
            assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.0 400 ")
            writer.close()
        async with aiohttp.ClientSession(url) as http, http.get("/metrics") as response:
            assert "talkspurt_http_errors_total" in await response.text()
    strangers = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert len(strangers) == 1
    assert strangers[0].exc_info is None
