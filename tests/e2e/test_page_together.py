"""Everything in one call of a browser: camera, screen, a tool, and sources from the web."""

from __future__ import annotations

from contextlib import AsyncExitStack

from playwright.async_api import expect

from agent.emulator import Raw, Reply, Say, Turn, message, running_emulator
from tests.support.browser import ANSWER_MS, BrowserFactory, complaints_of, final_turns, join, switch
from tests.support.service import service_for

CHUNKS = [
    {"web": {"uri": "https://weather.example/rome?a=1&b=2", "title": "Weather <b>in</b> Rome"}},
    {"web": {"uri": "http://plain.example/"}},
]


def searching(turn: Turn) -> Reply | None:
    """Answer from the web if that is asked for."""
    if not turn.text or "search" not in turn.text:
        return None
    found = {"webSearchQueries": ["rome"], "groundingChunks": CHUNKS}
    return (Raw(message("grounding", {"serverContent": {"groundingMetadata": found}})), Say("It is sunny."))


async def test_camera_screen_tools_and_sources_in_one_call(chromium: BrowserFactory) -> None:
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(running_emulator(on_turn=searching, speech_recognition=False))
        url = await stack.enter_async_context(service_for(emulator, offline_demo=True, search=True))
        browser = await stack.enter_async_context(chromium())
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await join(page, url)
        await switch(page, "camera", on=True)
        await switch(page, "screen", on=True)
        (session,) = emulator.sessions
        await emulator.wait_for(lambda: session.picture_count >= 2)

        async def type_to_agent(text: str) -> None:
            await page.fill("#text", text)
            await page.press("#text", "Enter")

        await type_to_agent("what is the weather in paris")
        card = page.locator('#transcript [data-tool][data-state="done"]')
        await expect(card).to_have_count(1, timeout=ANSWER_MS)
        await expect(final_turns(page, "agent", "degrees")).to_have_count(1, timeout=ANSWER_MS)
        await type_to_agent("what do you see")
        await expect(final_turns(page, "agent", "I received a picture of")).to_have_count(1, timeout=ANSWER_MS)

        await type_to_agent("search for rome")
        links = page.locator("#transcript .sources a")
        await expect(links).to_have_text(["Weather <b>in</b> Rome", "http://plain.example/"], timeout=ANSWER_MS)
        await expect(links.first).to_have_attribute("href", "https://weather.example/rome?a=1&b=2")
        await expect(links.first).to_have_attribute("rel", "noopener noreferrer")
        bad = {"origins": [{"site_uri": "javascript:alert(1)"}, {"site_uri": 7}, None, {"site_uri": "//x.example"}]}
        assert await page.evaluate("async (data) => (await import('/sources.js')).sourcesOf(data)", bad) == []
        await expect(page.locator("label:has(#processing)")).to_contain_text("headphones")
        assert complaints == []
