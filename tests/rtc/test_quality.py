"""The estimated quality of a call whose packets are lost on the way, both ways."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from agent.call import quality
from tests.support.line import on_line

LOSS = 0.2


def losing(transceiver: Any) -> None:
    """Lose a fifth of the packets that a caller sends, and of those that it gets; RTCP arrives."""
    rng, transport = random.Random(1), transceiver.sender.transport
    send, take = transport._send_rtp, transport._handle_rtp_data

    def is_lost(data: bytes) -> bool:
        return not 192 <= data[1] <= 208 and rng.random() < LOSS

    async def send_some(data: bytes) -> None:
        if not is_lost(data):
            await send(data)

    async def take_some(data: bytes, **named: Any) -> None:
        if rng.random() >= LOSS:
            await take(data, **named)

    transport._send_rtp, transport._handle_rtp_data = send_some, take_some


@pytest.mark.parametrize(
    ("spoil", "fits"), [(losing, lambda score: score < 3.3), (lambda _transceiver: None, lambda score: score > 4.0)]
)
async def test_what_is_lost_is_heard_in_the_score(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], None], fits: Callable[[float], bool]
) -> None:
    monkeypatch.setattr(quality, "WINDOW_S", 4.0)  # a caller reports about once a second
    async with on_line() as line:
        spoil(line.caller.pc.getTransceivers()[0])
        await line.counted("quality-estimated", 2, timeout_s=30)
        told = line.datas("quality-estimated")[1]
        assert fits(told["mos_in"]), told
        assert fits(told["mos_out"]), told
        assert 0 <= told["rtt_ms"] < 1000
        assert line.caller.location is not None
        async with aiohttp.ClientSession() as http:
            async with http.get(line.caller.location) as response:
                shown = (await response.json())["quality"]
            async with http.get(f"{line.url}metrics") as response:
                metrics = await response.text()
        for direction in ("in", "out"):
            assert fits(shown[direction]["mos_worst"])
            assert shown[direction]["mos_worst"] <= shown[direction]["mos_mean"]
            assert f'talkspurt_mos_count{{direction="{direction}"}}' in metrics
