"""A caller who sends faster than real time is heard in real time: between two real peers, on every way in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiortc.rtp import RtpPacket

from agent.clock import monotonic
from agent.media.encode import voice_encoder
from agent.media.reorder import BURST_S, REAL_TIME
from tests.support.raw_peers import LOUD, NEW_SSRC, OPUS, talking

FLOOD_S = 3.0
PER_S = 500  # ten times real time; in one process with both peers there is no more to be had


def packets(step_ticks: int) -> Any:
    payload, number = voice_encoder("opus").encode(LOUD), 0
    while True:
        packet = RtpPacket(payload_type=OPUS, sequence_number=number & 0xFFFF)
        packet.timestamp, packet.ssrc, packet.payload = number * step_ticks & 0xFFFFFFFF, NEW_SSRC, payload
        yield packet.serialize()
        number += 1


@pytest.mark.parametrize("way", ["shortcut", "no shortcut", "untapped"])
@pytest.mark.parametrize("step_ticks", [960, 96_000 - 480], ids=["in order", "each 1.99 s ahead"])
async def test_a_flood_is_heard_in_real_time(monkeypatch: pytest.MonkeyPatch, way: str, step_ticks: int) -> None:
    async with talking(monkeypatch, way) as pair:
        await pair.still_hears()
        assert pair.audio is not None
        flood, before, began, sent = packets(step_ticks), pair.audio.stats.samples, monotonic(), 0
        while (lasted_s := monotonic() - began) < FLOOD_S:
            for _ in range(int(lasted_s * PER_S) - sent):
                await pair.send_rtp(next(flood))
                sent += 1
            await asyncio.sleep(0.01)
        heard_s = (pair.audio.stats.samples - before) / 16_000
        assert heard_s <= (monotonic() - began) * REAL_TIME + BURST_S
        assert pair.audio.packets().surplus > 0
        assert pair.heard > 0
