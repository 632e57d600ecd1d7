"""The camera and the screen in the page: on and off in a call, at the agent's pace, nothing left on after it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from playwright.async_api import Page, Route, expect

from tests.support.browser import (
    ANSWER_MS,
    KEEP_CHANNEL,
    BrowserFactory,
    complaints_of,
    expect_source,
    join,
    switch,
)
from tests.support.process import serving

MAX_FPS = 2
SOURCES = {"camera": 1, "screen": 2}  # each with its place among the offer's sections

REFUSE_CAPTURE = """
    navigator.mediaDevices.getDisplayMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (wish) =>
        wish.video ? Promise.reject(new DOMException("no", "NotAllowedError")) : open(wish);
"""
SENT = """async ([mid, count, fps]) => {
    for (;;) {  // statistics raise no event; the browser's rate is too high in its first second
        const sent = (await window.talkspurt.stats()).find((r) => r.type === "outbound-rtp" && r.mid === mid);
        if (sent?.framesSent >= count && sent.framesPerSecond <= fps) return sent;
        await new Promise((wake) => setTimeout(wake, 50));
    }
}"""


async def outbound(page: Page, source: str, frames: int) -> dict[str, Any]:
    """Return the browser's statistics once it has sent that many frames, and at no more than the agent's pace."""
    async with asyncio.timeout(ANSWER_MS / 1000):
        report: dict[str, Any] = await page.evaluate(SENT, [str(SOURCES[source]), frames, MAX_FPS])
    return report


async def expect_pace(page: Page, source: str) -> dict[str, Any]:
    """Count the frames of a while: there are some, and not too many."""
    first = await outbound(page, source, frames=2)
    later = await outbound(page, source, frames=first["framesSent"] + 5)
    took_s = (later["timestamp"] - first["timestamp"]) / 1000
    assert (later["framesSent"] - first["framesSent"] - 1) / took_s <= MAX_FPS
    return later


async def keep_track(page: Page, source: str) -> None:
    """Remember the track that is being sent, as `window.kept[source]`."""
    await page.evaluate(
        "([name, line]) => { (window.kept ??= {})[name] = window.talkspurt.pc.getSenders()[line].track; }",
        [source, SOURCES[source]],
    )


async def expect_stopped(page: Page, source: str) -> None:
    assert await page.evaluate("(name) => window.kept[name].readyState", source) == "ended"


async def test_camera_and_screen_in_a_call(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await join(page, service.url)
        offer = await page.evaluate("window.talkspurt.pc.localDescription.sdp")
        assert re.findall(r"^m=(\w+)", offer, re.MULTILINE) == ["audio", "video", "video", "application"]

        for source, line in SOURCES.items():
            await expect_source(page, source, on=False)
            await switch(page, source, on=True)
            await keep_track(page, source)
            limits = await page.evaluate(f"window.talkspurt.pc.getSenders()[{line}].getParameters()")
            assert limits["encodings"][0]["maxFramerate"] == MAX_FPS
            assert limits["degradationPreference"] == "maintain-resolution"

        # both flow, no faster than the agent looks, and the preview shows what is sent
        for source in SOURCES:
            later = await expect_pace(page, source)
            shown = await page.evaluate(f"document.getElementById('{source}-preview').videoWidth")
            assert shown == later["frameWidth"]
        assert await page.evaluate("window.talkspurt.pc.localDescription.sdp") == offer  # no renegotiation

        # off and on again, by key
        for source, key in (("camera", "c"), ("screen", "s")):
            await page.keyboard.press(key)
            await expect_source(page, source, on=False)
            await expect_stopped(page, source)
            gone = "(section) => window.talkspurt.pc.getSenders()[section].track === null"
            await page.wait_for_function(gone, arg=SOURCES[source])
            sent = (await outbound(page, source, frames=0))["framesSent"]
            await page.keyboard.press(key)
            await expect_source(page, source, on=True)
            await outbound(page, source, frames=sent + 2)
            await keep_track(page, source)

        await page.click("#hangup")
        for source in SOURCES:
            await expect_source(page, source, on=False)
            await expect(page.locator(f"#{source}")).to_be_disabled()
            await expect_stopped(page, source)
        assert complaints == []


async def test_a_share_ended_in_the_browsers_own_bar(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await join(page, service.url)
        await switch(page, "screen", on=True)
        await page.evaluate("window.talkspurt.pc.getSenders()[2].track.dispatchEvent(new Event('ended'))")
        await expect_source(page, "screen", on=False)
        await expect(page.locator("#error-banner")).to_be_hidden()
        await switch(page, "screen", on=True)


async def test_the_page_shows_what_the_agent_sees(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.add_init_script(KEEP_CHANNEL)
        await join(page, service.url)
        await switch(page, "camera", on=True)
        picture = {"type": "picture-sent", "source": "camera", "width": 640, "height": 480, "bytes": 14_200}
        message = json.dumps({"label": "rtvi-ai", "type": "server-message", "id": "1", "data": picture})
        await page.evaluate("(m) => channel.dispatchEvent(new MessageEvent('message', {data: m}))", message)
        words = re.compile(r"^Agent sees: \d+×\d+, \d+ K?B, (now|\d+ s ago)$")  # noqa: RUF001  the sign for "by"
        await expect(page.locator("#camera-seen")).to_have_text(words)
        aged = await page.evaluate(
            """async () => {
                const { seenWords } = await import("/pictures.js");
                const seen = { width: 640, height: 480, bytes: 14200, atMs: 0 };
                return [seenWords(null, 0), ...[900, 2100, 200000].map((now) => seenWords(seen, now))];
            }"""
        )
        assert aged == [
            "Agent has not looked yet",
            "Agent sees: 640×480, 14 KB, now",  # noqa: RUF001
            "Agent sees: 640×480, 14 KB, 2 s ago",  # noqa: RUF001
            "Agent sees: 640×480, 14 KB, 3 min ago",  # noqa: RUF001
        ]


async def test_a_refused_permission_is_explained_and_the_call_goes_on(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.add_init_script(REFUSE_CAPTURE)
        await join(page, service.url)
        await page.click("#camera")
        await expect(page.locator("#error-banner")).to_contain_text("The camera is blocked")
        await page.click("#screen")
        await expect(page.locator("#error-banner")).to_contain_text("Your screen is not shared")
        for source in SOURCES:
            await expect_source(page, source, on=False)
            await expect(page.locator(f"#{source}")).to_be_enabled()
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected")


async def test_a_camera_that_cannot_go_slowly_is_taken_as_it_is(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.add_init_script(
            """
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = (wish) => {
                if (wish.video?.frameRate?.max) return Promise.reject(new OverconstrainedError("frameRate"));
                return open(wish.video ? { video: { frameRate: { exact: 20 } } } : wish);
            };
            """
        )
        await join(page, service.url)
        await switch(page, "camera", on=True)
        captured = await page.evaluate("window.talkspurt.pc.getSenders()[1].track.getSettings().frameRate")
        assert captured == 20
        await expect_pace(page, "camera")


async def test_a_refused_video_section_disables_its_button(chromium: BrowserFactory) -> None:
    async def without_screen(route: Route) -> None:
        response = await route.fetch()
        head, camera, screen = (await response.text()).split("m=video")
        body = "m=video".join([head, camera, screen.replace("a=recvonly", "a=inactive")])
        await route.fulfill(response=response, body=body)

    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.route("**/whip", without_screen)
        await join(page, service.url)
        await expect(page.locator("#screen")).to_be_disabled()
        await expect(page.locator("#screen")).to_have_attribute("title", "This agent does not look at your screen")
        await switch(page, "camera", on=True)
