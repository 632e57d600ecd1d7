"""A person talks with the agent in a browser: page, Chromium, WebRTC, service, SDK and emulator."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.async_api import Page, expect

from tests.support.browser import (
    ANSWER_MS,
    BrowserFactory,
    final_turns,
    inbound_audio,
    speech_48k,
    take_screenshot,
    write_wav,
)
from tests.support.process import serving


async def told_answers_ms(page: Page) -> list[int]:
    """Return the response times that the service has told the page so far."""
    rows = await page.locator("#event-list .log-data").filter(has_text="agent-responded").all_text_contents()
    return [json.loads(row)["response_ms"] for row in rows]


async def shown_answer_ms(page: Page) -> int:
    return int((await page.locator("#figure-answer").inner_text()).removesuffix(" ms"))


async def test_first_call(chromium: BrowserFactory, tmp_path: Path) -> None:
    """The caller asks aloud, hears and reads the answer, interrupts, types and hangs up."""
    microphone = write_wav(
        tmp_path / "caller.wav", 2.0, speech_48k("what time is it"), 9.0, speech_48k("roll the dice"), 20.0
    )
    async with serving("--port", "0") as service, chromium(microphone) as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(service.url)
        await page.click("#connect")
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected", timeout=ANSWER_MS)
        await expect(page.locator("#offline-label")).to_be_visible()

        # a spoken question is heard, transcribed and answered aloud
        await expect(final_turns(page, "caller", "time")).to_have_count(1, timeout=ANSWER_MS)
        await expect(final_turns(page, "agent", "It is")).to_have_count(1, timeout=ANSWER_MS)
        heard = await inbound_audio(page)
        assert heard["totalAudioEnergy"] > 0.001
        assert heard["packetsLost"] == 0
        assert await shown_answer_ms(page) == (await told_answers_ms(page))[-1] > 150

        # speaking into the long story interrupts it
        await page.fill("#text", "tell me a long story")
        await page.press("#text", "Enter")
        await expect(page.locator("#agent-state")).to_have_attribute("data-state", "speaking", timeout=ANSWER_MS)
        await take_screenshot(page, tmp_path, "speaking")
        interrupted = page.locator('#transcript [data-speaker="agent"][data-interrupted="true"]')
        await expect(interrupted).to_have_count(1, timeout=ANSWER_MS)
        await expect(final_turns(page, "caller", "dice")).to_have_count(1, timeout=ANSWER_MS)

        # typed text is answered
        await page.fill("#text", "what is twelve plus thirty")
        await page.press("#text", "Enter")
        await expect(final_turns(page, "agent", "42")).to_have_count(1, timeout=ANSWER_MS)
        assert await shown_answer_ms(page) == (await told_answers_ms(page))[-1]
        await take_screenshot(page, tmp_path, "call")

        # hang-up ends it on both sides
        location = await page.evaluate("window.talkspurt.pc.connectionState")
        assert location == "connected"
        await page.click("#hangup")
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "ended")
        ready = await page.request.get(f"{service.url}readyz")
        assert (await ready.json())["calls"] == 0
        assert complaints == []
    assert service.process.returncode == 0
    assert any("no GOOGLE_API_KEY" in line for line in service.log)
    assert not any("dice" in line or "twelve" in line for line in service.log), "caller's words in the log"


async def test_closing_the_page_ends_the_call(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        await page.goto(service.url)
        await page.click("#connect")
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected", timeout=ANSWER_MS)
        await page.close()
        watcher = await browser.new_page()
        for _ in range(50):
            calls = (await (await watcher.request.get(f"{service.url}readyz")).json())["calls"]
            if calls == 0:
                break
            await watcher.wait_for_timeout(100)
        assert calls == 0


async def test_shutdown_is_told_to_the_page(chromium: BrowserFactory, tmp_path: Path) -> None:
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        async with serving("--port", "0") as service:
            await page.goto(service.url)
            await page.click("#connect")
            await expect(page.locator("#call-state")).to_have_attribute(
                "data-state", "connected", timeout=ANSWER_MS
            )
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "ended")
        await expect(page.locator("#error-banner")).to_contain_text("shutting down")
        await take_screenshot(page, tmp_path, "phone-ended")


async def test_an_answer_to_a_browser_takes_no_second(chromium: BrowserFactory) -> None:
    """Chromium names its addresses `.local` until the microphone is allowed; the answer must not wait for them."""
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.goto(service.url)
        took_ms = await page.evaluate(
            """async () => {
                const times = [];
                for (let i = 0; i < 5; i++) {
                    const pc = new RTCPeerConnection();
                    pc.addTransceiver('audio');
                    await pc.setLocalDescription();
                    await new Promise((done) => { pc.onicecandidate = (e) => e.candidate || done(); });
                    const started = performance.now();
                    const response = await fetch('/whip', {
                        method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp,
                    });
                    await response.text();
                    times.push(performance.now() - started);
                    await fetch(response.headers.get('Location'), {method: 'DELETE'});
                    pc.close();
                }
                return times.sort((a, b) => a - b);
            }"""
        )
        assert took_ms[2] < 500, took_ms
