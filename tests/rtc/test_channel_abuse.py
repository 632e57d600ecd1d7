"""Clients that send more over a data channel than announced lose it at once, and the call goes on."""

from __future__ import annotations

import logging
from typing import Any

import aiortc.rtcsctptransport
import pytest
from aiortc.rtcsctptransport import RTCSctpTransport

from agent.media.tap import sctp as tap_sctp
from agent.media.tap.sctp import MAX_MESSAGE_BYTES, MAX_STREAMS
from signaling.client.caller import Caller, call_service
from tests.support.service import ServiceFactory


async def closed_for(caller: Caller, caplog: pytest.LogCaptureFixture, objection: str) -> None:
    """Wait until the service closes the channels; check that it said why, once, and kept the call."""
    channel = caller._channel
    await caller.message("bot-ready")
    assert channel.readyState == "open"
    await caller.until(lambda: channel.readyState == "closed")  # looked at with each frame that is heard
    heard = len(caller.heard)
    await caller.until(lambda: len(caller.heard) > heard + 20)
    assert caller.pc.connectionState == "connected"
    lines = [record.getMessage() for record in caplog.records if "data channels are closed" in record.getMessage()]
    assert len(lines) == 1
    assert objection in lines[0]


async def test_a_message_beyond_the_announced_limit(
    service: ServiceFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        sctp: Any = caller.pc.sctp
        sctp._remote_max_message_size = 0
        caller.send_text("x" * (4 << 20))
        await closed_for(caller, caplog, f"more than {MAX_MESSAGE_BYTES} bytes")
        assert sctp._sent_queue or sctp._outbound_queue, "the most of it was never taken"


async def test_a_message_a_little_beyond_the_limit(
    service: ServiceFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        sctp: Any = caller.pc.sctp
        sctp._remote_max_message_size = 0
        caller.send_text("x" * (MAX_MESSAGE_BYTES + 1))
        await closed_for(caller, caplog, f"more than {MAX_MESSAGE_BYTES} bytes")


async def test_endless_fragments(
    service: ServiceFactory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        monkeypatch.setattr(aiortc.rtcsctptransport, "USERDATA_MAX_LENGTH", 10)
        # Sending 1,024 in small windows takes seconds.
        monkeypatch.setattr(tap_sctp, "MAX_FRAGMENTS_WITHOUT_END", 100)
        caller.send_text("x" * 10 * 200)
        await closed_for(caller, caplog, "more than 100 fragments")


async def test_many_channels(service: ServiceFactory, caplog: pytest.LogCaptureFixture) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        for number in range(MAX_STREAMS + 5):
            caller.pc.createDataChannel(f"another-{number}")
        await closed_for(caller, caplog, f"more than {MAX_STREAMS} data channels")


LARGEST_BYTES = 64 << 10  # that the dialect reads


async def test_the_largest_message_arrives_however_many_come(
    service: ServiceFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Two in three messages are interrupted by packets that are lost and sent again."""
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        lose_every_seventh(caller.pc.sctp)
        head, tail = '{"label":"rtvi-ai","type":"no-such-type","id":"', '"}'
        for number in range(20):
            name = f"{number}"
            caller.send_text(f"{head}{name}{' ' * (LARGEST_BYTES - len(head) - len(name) - len(tail))}{tail}")
        await caller.until(lambda: sum(m["type"] == "error-response" for m in caller.messages) == 20, timeout_s=30)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def lose_every_seventh(sctp: RTCSctpTransport | None) -> None:
    assert sctp is not None
    transport: Any = sctp.transport
    send, count = transport._send_data, 0

    async def lossy(data: bytes) -> None:
        nonlocal count
        count += 1
        if count % 7:
            await send(data)

    transport._send_data = lossy
