"""No error or oversized message leaves a dialect, and a client that does not read costs no memory."""

from __future__ import annotations

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.exceptions import InvalidStateError

from signaling.dialects.channel import MAX_BUFFERED_BYTES, TextChannel
from signaling.dialects.shorten import to_json
from signaling.webrtc.client_leg import MessageCounts


class Wire:
    """A data channel whose client reads when it is counts to."""

    def __init__(self, max_bytes: int) -> None:
        self.readyState = "open"
        self.bufferedAmount = 0
        self.sent: list[str] = []
        self.max_bytes = max_bytes
        self.broken: Exception | None = None
        self.listeners: dict[str, Any] = {}

    def on(self, event: str, listener: Any) -> None:
        self.listeners[event] = listener

    def send(self, text: str) -> None:
        if self.broken is not None:
            raise self.broken
        if len(text.encode()) > self.max_bytes:
            raise ValueError("too long")
        self.bufferedAmount += len(text.encode())
        self.sent.append(text)


def opened(max_bytes: int = 64 << 10) -> tuple[TextChannel, Wire, MessageCounts]:
    wire, counts = Wire(max_bytes), MessageCounts()
    leg: Any = SimpleNamespace(call=SimpleNamespace(call_id="c1"), max_message_bytes=max_bytes, messages=counts)
    channel: Any = wire
    return TextChannel(leg, channel), wire, counts


def of(text: str) -> str:
    return to_json({"type": "x", "data": {"text": text}})


def test_messages_up_to_the_limit_go_as_they_are_and_longer_ones_shortened() -> None:
    channel, wire, counts = opened(max_bytes=2000)
    longest = of("ä" * ((2000 - len(of("").encode())) // 2))
    assert len(longest.encode()) in (1999, 2000)
    channel.write(longest)
    channel.write(of("ä" * 1000))
    channel.write(of("last"))
    assert (wire.sent[0], wire.sent[2]) == (longest, of("last"))
    assert json.loads(wire.sent[1])["data"]["shortened"] is True
    assert counts == MessageCounts(shortened=1)


def test_a_message_of_which_nothing_fits_is_dropped() -> None:
    channel, wire, counts = opened(max_bytes=30)
    channel.write(of("x" * 100))
    assert (wire.sent, counts) == ([], MessageCounts(dropped=1))


def test_a_client_that_does_not_read_gets_no_more_but_the_last_message() -> None:
    channel, wire, counts = opened()
    for _ in range(20):
        channel.write(of("x" * 60_000))
    assert wire.bufferedAmount <= MAX_BUFFERED_BYTES
    assert counts.dropped == 20 - len(wire.sent) > 0
    channel.write(of("bye" * 1000), last=True)
    assert wire.sent[-1] == of("bye" * 1000)
    wire.bufferedAmount = 0
    channel.write(of("again"))
    assert wire.sent[-1] == of("again")


@pytest.mark.parametrize("error", [InvalidStateError("closed"), ValueError("odd"), ConnectionError("gone")])
def test_what_the_connection_raises_is_counted(error: Exception) -> None:
    channel, wire, counts = opened()
    wire.broken = error
    channel.write(of("x"))
    assert counts == MessageCounts(dropped=1)


def test_what_a_dialect_raises_at_a_message_stays_in_it(caplog: pytest.LogCaptureFixture) -> None:
    channel, wire, counts = opened()
    taken: list[str | bytes] = []

    def take(data: str | bytes) -> None:
        if data == "secret":
            raise KeyError(data)
        taken.append(data)

    channel.read(take)
    with caplog.at_level(logging.WARNING):
        wire.listeners["message"]("secret")
        wire.listeners["message"]("next")
    assert (taken, counts) == (["next"], MessageCounts(failed=1))
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_a_closed_channel_takes_nothing() -> None:
    channel, wire, counts = opened()
    wire.readyState = "closed"
    channel.write(of("x"))
    asyncio.run(channel.flush())
    assert (wire.sent, counts) == ([], MessageCounts())
