"""The page in Firefox."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.emulator import Emulator
from tests.support.firefox import firefox, why_no_firefox
from tests.support.service import ServiceFactory

STATE = "document.querySelector('#call-state').dataset.state"
HEARD = """talkspurt.stats().then((reports) => reports.some(
    (one) => one.type === "inbound-rtp" && one.kind === "audio" && one.packetsReceived > 50))"""


async def test_a_call(service: ServiceFactory, emulator: Emulator, tmp_path: Path) -> None:
    """Connect, be heard, type, read the answer, hang up."""
    reason = why_no_firefox()
    if reason is not None:
        pytest.skip(reason)
    async with service() as url, firefox(tmp_path) as page:
        await page.goto(url)
        await page.evaluate("document.querySelector('#connect').click()")
        await page.until(f"{STATE} === 'connected'")
        session = emulator.sessions[0]
        await emulator.wait_for(lambda: bool((abs(session.audio.astype(int)) > 1000).sum() > 8000), timeout_s=20)
        await page.evaluate(
            """(() => {
                document.querySelector('#text').value = 'what is twelve plus thirty';
                document.querySelector('#text').form.requestSubmit();
            })()"""
        )
        agent = "[...document.querySelectorAll('#transcript [data-speaker=agent]')]"
        await page.until(f"{agent}.some((turn) => turn.textContent.includes('42'))")
        await page.until(HEARD)
        await page.evaluate("document.querySelector('#hangup').click()")
        await page.until(f"{STATE} === 'ended'")
        await emulator.wait_for(lambda: not session.open)
