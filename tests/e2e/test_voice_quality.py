"""What Chromium's receiver reports of the agent's voice over many turns (webrtc-stats, inbound-rtp)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from tests.support.browser import BrowserFactory, inbound_audio, write_wav
from tests.support.process import serving

TURNS = 20


def buffered_ms(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Return the mean time that a sample waited in the jitter buffer between two reports."""
    delay_s = after["jitterBufferDelay"] - before["jitterBufferDelay"]
    return float(1000 * delay_s / (after["jitterBufferEmittedCount"] - before["jitterBufferEmittedCount"]))


async def test_the_jitter_buffer_does_not_grow_from_turn_to_turn(chromium: BrowserFactory, tmp_path: Path) -> None:
    """Each talkspurt leaves up to 20 ms early; the receiver must not pay for it."""
    silence = write_wav(tmp_path / "silence.wav", 300.0)  # the fake device's beeps would interrupt the agent
    async with serving("--port", "0") as service, chromium(silence) as browser:
        page = await browser.new_page()
        await page.goto(service.url)
        await page.click("#connect")
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected", timeout=15_000)
        agent = page.locator("#agent-state")
        reports = [await inbound_audio(page)]
        for turn in range(TURNS):
            await page.fill("#text", "what is one plus one")
            await page.press("#text", "Enter")
            await expect(agent).to_have_attribute("data-state", "speaking", timeout=10_000)
            await expect(agent).to_have_attribute("data-state", "listening", timeout=10_000)
            if turn % 5 == 4:
                reports.append(await inbound_audio(page))
        waits_ms = [buffered_ms(a, b) for a, b in itertools.pairwise(reports)]
        last = reports[-1]
        concealed = (last["concealedSamples"] - last["silentConcealedSamples"]) / last["totalSamplesReceived"]
        print("jitter buffer per 5 turns, ms:", [round(ms) for ms in waits_ms], "audibly concealed:", concealed)
        assert waits_ms[-1] < waits_ms[0] + 40
        assert last["packetsLost"] == 0
        assert concealed < 0.02
