"""The page's call goes on from another network: the same call, the same Live session, the same sentence."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import expect

from agent.emulator import running_emulator
from tests.support.browser import (
    ANSWER_MS,
    BrowserFactory,
    complaints_of,
    expect_agent,
    final_turns,
    join,
    take_screenshot,
    type_to_agent,
)
from tests.support.networks import in_private_network, on_other_machine, other_machine
from tests.support.service import service_for


async def test_a_call_goes_on_from_another_network(
    chromium: BrowserFactory, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not in_private_network(request):
        return
    with other_machine(tmp_path) as machine:
        async with (
            running_emulator() as emulator,
            service_for(emulator, offline_demo=True, host="0.0.0.0", insecure=True) as local,
            chromium(
                program=machine.program("/usr/bin/chromium"),
                more_flags=[f"--unsafely-treat-insecure-origin-as-secure={on_other_machine(local)}"],
            ) as browser,
        ):
            page = await browser.new_page()
            complaints = complaints_of(page)
            await join(page, on_other_machine(local))
            await type_to_agent(page, "tell me a long story")
            await expect_agent(page, "speaking")
            await page.evaluate("window.lost = talkspurt.pc")
            machine.change_networks()
            changed_at = time.monotonic()
            state = page.locator("#call-state")
            await expect(state).to_have_attribute("data-state", "reconnecting", timeout=30_000)
            noticed_at = time.monotonic()
            await take_screenshot(page, tmp_path, "reconnecting")
            await expect(state).to_have_attribute("data-state", "connected", timeout=30_000)
            heard = """talkspurt.stats().then((reports) => talkspurt.pc !== lost && reports.some(
                (one) => one.type === "inbound-rtp" && one.kind === "audio" && one.totalAudioEnergy > 0.001))"""
            await page.wait_for_function(heard)
            back_at = time.monotonic()
            print(f"{noticed_at - changed_at:.1f} s until noticed, audio back after {back_at - changed_at:.1f} s")
            await type_to_agent(page, "what is twelve plus thirty")
            await expect(final_turns(page, "agent", "42")).to_have_count(1, timeout=ANSWER_MS)
            interrupted = page.locator('#transcript [data-speaker="agent"][data-interrupted="true"]')
            await expect(interrupted).to_have_count(1)  # the story was going on
            assert len(emulator.sessions) == 1
            await page.click("#hangup")
            await expect(state).to_have_attribute("data-state", "ended")
            assert [each for each in complaints if "net::ERR" not in each] == []
