"""The page in a call: hold to talk, stop the agent, what it says of the model, the cost and the limits."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from tests.support.browser import (
    ANSWER_MS,
    KEEP_CHANNEL,
    BrowserFactory,
    complaints_of,
    expect_agent,
    final_turns,
    join,
    speech_48k,
    switch,
    take_screenshot,
    tell,
    type_to_agent,
    write_wav,
)
from tests.support.process import serving

CAPTION = re.compile(r"^Agent sees: \d+×\d+, \d+ K?B, (now|\d+ s ago)$")  # noqa: RUF001  the sign for "by"


async def test_push_to_talk(chromium: BrowserFactory, tmp_path: Path) -> None:
    """What is said while nothing is held is for nobody; what is said while the space bar is held is answered."""
    microphone = write_wav(
        tmp_path / "caller.wav", 3.0, speech_48k("what time is it"), 6.0, speech_48k("roll the dice"), 20.0
    )
    async with serving("--port", "0", "--vad", "off") as service, chromium(microphone) as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        complaints = complaints_of(page)
        await page.goto(service.url)
        await expect(page.locator("#talk")).to_be_hidden()
        await page.click("#connect")
        await expect(page.locator("#mute")).to_be_enabled()
        opened_ms = await page.evaluate("performance.now()")
        await expect(page.locator("#talk")).to_be_visible(timeout=ANSWER_MS)
        await expect(page.locator("#talk")).to_be_focused()  # and not the button that hangs up
        await page.wait_for_function("(at) => performance.now() >= at", arg=opened_ms + 7_000, timeout=10_000)

        await page.keyboard.down(" ")
        await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
        await take_screenshot(page, tmp_path, "talk-phone")
        await page.wait_for_function("(at) => performance.now() >= at", arg=opened_ms + 13_000, timeout=10_000)
        await page.keyboard.up(" ")
        await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")
        await expect(final_turns(page, "caller", "dice")).to_have_count(1, timeout=ANSWER_MS)
        await expect(page.locator('#transcript [data-speaker="caller"]')).to_have_count(1)
        await expect_agent(page, "speaking")
        await expect_agent(page, "listening")

        # the button interrupts, wherever it is let go; typed text needs no marks
        await type_to_agent(page, "tell me a long story")
        await expect_agent(page, "speaking")
        await take_screenshot(page, tmp_path, "talk-speaking-phone")
        await page.hover("#talk")
        await page.mouse.down()
        await expect(page.locator('#transcript [data-interrupted="true"]')).to_have_count(1)
        await page.mouse.move(5, 5)
        await page.mouse.up()
        await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")

        # a screen reader clicks without holding: once to talk, once to finish; a page that loses the focus finishes
        for end in ("document.getElementById('talk').click()", "dispatchEvent(new Event('blur'))"):
            await page.evaluate("document.getElementById('talk').click()")
            await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
            await page.evaluate(end)
            await expect(page.locator("#talk")).to_have_attribute("aria-pressed", "false")

        await page.click("#mute")
        await expect(page.locator("#talk")).to_be_focused()
        await page.set_viewport_size({"width": 1280, "height": 800})
        await switch(page, "camera", on=True)
        await take_screenshot(page, tmp_path, "talk")
        await page.click("#hangup")
        await expect(page.locator("#talk")).to_be_hidden()
        assert complaints == []


async def test_stopping_the_agent(chromium: BrowserFactory, tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "silence.wav", 60.0)
    async with serving("--port", "0") as service, chromium(silence) as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await join(page, service.url)
        await expect(page.locator("#talk")).to_be_hidden()
        await expect(page.locator("#stop")).to_be_hidden()
        await type_to_agent(page, "tell me a long story")
        await expect_agent(page, "speaking")
        await take_screenshot(page, tmp_path, "stop")
        await page.click("#stop")
        await expect(page.locator('#transcript [data-interrupted="true"]')).to_have_count(1)
        await expect_agent(page, "listening")
        await expect(page.locator("#stop")).to_be_hidden()
        await type_to_agent(page, "what is twelve plus thirty")
        await expect(final_turns(page, "agent", "42")).to_have_count(1, timeout=ANSWER_MS)
        await expect(page.locator('#transcript [data-speaker="agent"]')).to_have_count(2)

        # what it has used by now is the service's own figure
        await page.click("#events summary")
        await expect(page.locator("#usage-brief")).to_contain_text("tokens")
        await expect(page.locator("#usage")).to_contain_text("Tokens read")
        await take_screenshot(page, tmp_path, "usage")


async def test_the_page_tells_of_the_model_and_of_the_limits(chromium: BrowserFactory, tmp_path: Path) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
        await page.add_init_script(KEEP_CHANNEL)
        await join(page, service.url)
        notice = page.locator("#notice")

        await tell(page, type="session-replaced", resumed=True, outage_ms=9, replayed_ms=0)
        await expect(notice).to_be_hidden()  # as planned: nobody's business
        await tell(page, type="session-lost", detail="It is gone.", fault="network")
        await expect(notice).to_have_text("Reconnecting to the model…")
        await take_screenshot(page, tmp_path, "lost-dark")
        await tell(page, type="session-replaced", resumed=True, outage_ms=900, replayed_ms=0)
        await expect(notice).to_have_text("The agent is back.")
        await expect(notice).to_be_hidden(timeout=5_000)
        await tell(page, type="agent-fell-silent", cause="no_answer", step="nudge", reason=None)
        await expect(notice).to_be_hidden()
        await tell(page, type="agent-fell-silent", cause="no_answer", step="apologise", reason=None)
        await expect(notice).to_contain_text("no answer")
        await tell(page, type="context-rebuilt", turns=4)
        await expect(notice).to_contain_text("reminded")
        await tell(page, type="context-lost")
        await expect(notice).to_contain_text("forgotten")

        tokens = {"prompt": {"TEXT": 20, "AUDIO": 1812, "IMAGE": 0}, "response": {"AUDIO": 95}}
        await tell(page, type="usage-reported", tokens=tokens, cost_usd=0.0421)
        await tell(page, type="limit-near", kind="budget", used=0.042, limit=0.05)
        await tell(page, type="limit-near", kind="max_duration", used=240.0, limit=300.0)
        await expect(notice).to_have_text("The call ends in 1:00.")
        await page.click("#events summary")
        await expect(page.locator("#usage-brief")).to_have_text("1,927 tokens · $0.0421")
        rows = await page.locator("#usage > div").all_inner_texts()
        assert [row.split("\n") for row in rows] == [
            ["Tokens read", "20 text, 1,812 audio"],
            ["Tokens said", "95 audio"],
            ["Cost so far", "$0.0421"],
            ["Budget", "$0.0420 of $0.0500"],
            ["Duration", "4:00 of 5:00"],
            ["Model sessions", "3"],
        ]
        await take_screenshot(page, tmp_path, "usage-dark")
        await tell(page, type="usage-reported", tokens=tokens, cost_usd=None)
        await expect(page.locator("#usage")).to_contain_text("no price known")

        await tell(page, type="agent-responded", generation=1, response_ms=1, typed=False)  # an older service
        await expect(page.locator("#answers")).to_be_hidden()
        stages = {"uplink_ms": 0.6, "model_ms": 512.9, "tools_ms": 250.0, "voice_ms": 0.0, "downlink_ms": 0.8}
        for number in range(2, 12):
            await tell(page, type="agent-responded", generation=number, response_ms=764, typed=False, stages=stages)
        answers = page.locator("#answers > li")
        await expect(answers).to_have_count(8)
        await expect(answers.last).to_have_text(
            "764 ms: sent to the model 0.6 ms, model 513 ms, tools 250 ms, sent to you 0.8 ms"
        )
        widths = [
            round(await part.evaluate("part => part.offsetWidth"))
            for part in await answers.last.locator(".stages > *").all()
        ]
        assert len(widths) == 4
        assert widths[1] > 1.8 * widths[2] > 10 * widths[0] > 0
        await take_screenshot(page, tmp_path, "answers-dark")

        await tell(page, type="call-ended", reason="max_duration", detail="It has lasted long.", fault="operator")
        banner = page.locator("#error-banner")
        await expect(banner).to_have_text(re.compile("The call reached a limit. It has lasted long."))
        await expect(banner).to_have_attribute("data-tone", "note")
        await expect(notice).to_be_hidden()
        await take_screenshot(page, tmp_path, "limit-dark")


async def test_the_page_keeps_the_picture_that_the_agent_saw(chromium: BrowserFactory, tmp_path: Path) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await join(page, service.url)
        await expect(page.locator("#camera-look")).to_be_hidden()
        await switch(page, "camera", on=True)
        await expect(page.locator("#camera-look")).to_be_visible(timeout=ANSWER_MS)
        await expect(page.locator("#camera-seen")).to_have_text(CAPTION)
        painted = await page.evaluate(
            """() => {
                const look = document.getElementById("camera-look");
                const { data } = look.getContext("2d").getImageData(0, 0, look.width, look.height);
                return [look.width / look.height, new Set(data).size];
            }"""
        )
        assert abs(painted[0] - 4 / 3) < 0.02
        assert painted[1] > 2
        await switch(page, "screen", on=True)
        await expect(page.locator("#screen-look")).to_be_visible(timeout=ANSWER_MS)
        await take_screenshot(page, tmp_path, "seen")
        await page.set_viewport_size({"width": 390, "height": 844})
        await take_screenshot(page, tmp_path, "seen-phone")
        await switch(page, "camera", on=False)
        await expect(page.locator("#camera-look")).to_be_hidden()
