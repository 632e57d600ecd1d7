"""WHIP clients of other makers, unchanged, talk with the agent or publish to it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.async_api import Page

from agent.emulator import Emulator
from tests.support.browser import BrowserFactory, write_wav
from tests.support.clients import other_site
from tests.support.service import ServiceFactory
from tests.support.tones import tone

ROOT = Path(__file__).parent.parent.parent
KEY = "the-servers-own-key"
HEARD = """async () => [...(await pc.getStats()).values()]
    .find((report) => report.type === "inbound-rtp" && report.kind === "audio")?.totalAudioEnergy > 0.001"""


@dataclass(frozen=True)
class Visit:
    """A page of another site, whose microphone hears a tone, and the service that it calls."""

    page: Page
    url: str


@asynccontextmanager
async def visit(
    chromium: BrowserFactory, service: ServiceFactory, folder: Path, *, allowed: bool = True
) -> AsyncIterator[Visit]:
    burst = (1.5, tone(800, 48_000, 1.0))
    microphone = write_wav(folder / "caller.wav", *burst, *burst, *burst, *burst, *burst, *burst)
    async with (
        other_site("whip") as origin,
        chromium(microphone) as browser,
        service(server_key=KEY, cors_origins=[origin] if allowed else []) as url,
    ):
        page = await browser.new_page()
        await page.goto(f"{origin}/app.html")
        yield Visit(page, f"{url}whip")


async def heard_by_model(emulator: Emulator) -> None:
    """Wait until the model has heard something loud."""
    await emulator.wait_for(lambda: bool(emulator.sessions), timeout_s=20)
    session = emulator.sessions[0]
    await emulator.wait_for(lambda: bool((np.abs(session.audio) > 1000).sum() > 8000), timeout_s=20)


async def test_whip_whep_talks_in_both_directions(
    chromium: BrowserFactory, service: ServiceFactory, emulator: Emulator, tmp_path: Path
) -> None:
    async with visit(chromium, service, tmp_path) as visited:
        page, url = visited.page, visited.url
        await page.evaluate(f"medooze('{url}', '{KEY}')")
        await page.wait_for_function(HEARD, timeout=30_000)  # the agent answers the tone
        await heard_by_model(emulator)
        await page.evaluate("whip.stop()")
        await emulator.wait_for(lambda: not emulator.sessions[0].open)


async def test_eyevinns_client_publishes(
    chromium: BrowserFactory, service: ServiceFactory, emulator: Emulator, tmp_path: Path
) -> None:
    """It only sends; the agent hears and sees it."""
    async with visit(chromium, service, tmp_path) as visited:
        page, url = visited.page, visited.url
        await page.evaluate(f"eyevinn('{url}', '{KEY}')")
        await heard_by_model(emulator)
        await emulator.wait_for(lambda: bool(emulator.sessions[0].pictures), timeout_s=20)
        await page.evaluate("whip.destroy()")
        await emulator.wait_for(lambda: not emulator.sessions[0].open)


FETCH = """async ([url, key]) => {
    const headers = {Authorization: `Bearer ${key}`, 'Content-Type': 'application/sdp'};
    const pc = (window.pc = new RTCPeerConnection());
    const [track] = (await navigator.mediaDevices.getUserMedia({audio: true})).getTracks();
    pc.addTransceiver(track, {direction: 'sendrecv'});
    await pc.setLocalDescription();
    const answer = await fetch(url, {method: 'POST', headers, body: pc.localDescription.sdp});
    await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
    const call = new URL(answer.headers.get('Location'), url);
    window.hangUp = async () => (await fetch(call, {method: 'DELETE', headers})).status;
    return answer.status;
}"""


async def test_a_page_of_another_site_talks_by_fetch_alone(
    chromium: BrowserFactory, service: ServiceFactory, emulator: Emulator, tmp_path: Path
) -> None:
    async with visit(chromium, service, tmp_path) as visited:
        page, url = visited.page, visited.url
        assert await page.evaluate(FETCH, [url, KEY]) == 201
        await page.wait_for_function(HEARD, timeout=30_000)
        assert await page.evaluate("hangUp()") == 200
        await emulator.wait_for(lambda: not emulator.sessions[0].open)
    async with visit(chromium, service, tmp_path, allowed=False) as visited:
        page, url = visited.page, visited.url
        refused = await page.evaluate(f"({FETCH})(['{url}', '{KEY}']).catch((error) => error.name)")
        assert refused == "TypeError", "a site that no setting names could call"


async def test_ffmpeg_publishes(service: ServiceFactory, emulator: Emulator, tmp_path: Path) -> None:
    """FFmpeg's WHIP muxer, which PyAV's packages contain."""
    if "whip" not in av.formats_available:
        pytest.skip("this PyAV has no WHIP muxer: it came with FFmpeg 8")
    async with service(server_key=KEY) as url:
        publisher = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.ffmpeg_whip", f"{url}whip", KEY, str(tmp_path), cwd=ROOT
        )
        try:
            await heard_by_model(emulator)
            async with asyncio.timeout(30):
                assert await publisher.wait() == 0
        finally:
            if publisher.returncode is None:
                publisher.kill()
        await emulator.wait_for(lambda: bool(emulator.sessions[0].pictures), timeout_s=20)
        await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=20)
