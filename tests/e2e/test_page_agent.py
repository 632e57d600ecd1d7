"""What the page shows of the agent: its state as the service tells it, and the pictures that it makes."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from agent.call.drawn import MAX_PICTURE_BYTES
from agent.emulator import Raw, Reply, Say, Turn, message, running_emulator
from agent.live.config import LiveEndpoint
from agent.settings import Settings
from signaling.app import running
from signaling.dialects.rtvi import MAX_INLINE_PICTURE_BYTES
from tests.support.browser import (
    ANSWER_MS,
    KEEP_CHANNEL,
    BrowserFactory,
    complaints_of,
    expect_agent,
    final_turns,
    join,
    picture,
    take_screenshot,
    tell,
    type_to_agent,
    write_wav,
)
from tests.support.process import serving

LONG_MS = 120_000  # more than any timer of the page
KEY = "open-sesame-open"
SMALL_MESSAGES = 16_384  # what a client takes that lets no inline picture through

KEEP_STATES = """
    window.states = [];
    addEventListener("DOMContentLoaded", () => {
        const shown = document.getElementById("agent-state");
        const observer = new MutationObserver(() => window.states.push(shown.dataset.state));
        observer.observe(shown, {attributeFilter: ["data-state"]});
    });
"""


def distinct(values: list[str]) -> list[str]:
    """Leave out what only repeats the value before it."""
    return [value for before, value in zip([None, *values], values, strict=False) if value != before]


async def told_states(page: Page) -> list[str]:
    rows = await page.locator("#event-list .log-data").filter(has_text='"agent-state"').all_text_contents()
    return [json.loads(row)["state"] for row in rows]


async def test_the_state_shown_is_the_one_that_the_service_tells(chromium: BrowserFactory, tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "silence.wav", 60.0)
    async with serving("--port", "0") as service, chromium(silence) as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.add_init_script(KEEP_STATES)
        await join(page, service.url)
        await expect_agent(page, "listening")
        await type_to_agent(page, "what is the weather in paris")
        await expect_agent(page, "speaking")
        await expect(final_turns(page, "agent", "degrees")).to_have_count(1, timeout=ANSWER_MS)
        await expect_agent(page, "listening")
        told = await told_states(page)
        shown = distinct(await page.evaluate("window.states"))
        assert [state for state in shown if state != "idle"] == distinct(told)
        assert told[:3] == ["listening", "thinking", "speaking"] or told[:2] == ["listening", "thinking"]
        await page.click("#hangup")
        await expect_agent(page, "idle")


async def test_the_page_does_not_guess_the_state(chromium: BrowserFactory, tmp_path: Path) -> None:
    """Neither time nor other messages change it, and a state that is none is passed over."""
    silence = write_wav(tmp_path / "silence.wav", 60.0)
    async with serving("--port", "0") as service, chromium(silence) as browser:
        page = await browser.new_page()
        await page.clock.install()
        await page.add_init_script(KEEP_CHANNEL)
        await join(page, service.url)
        await expect_agent(page, "listening")
        for state in ("thinking", "speaking", "connecting", "listening", "thinking"):
            await tell(page, type="agent-state", state=state)
            await expect_agent(page, state)
            await expect(page.locator("#stop")).to_be_visible(visible=state == "speaking")
        await page.clock.fast_forward(LONG_MS)
        for kind in ("bot-started-speaking", "bot-stopped-speaking", "user-started-speaking", "bot-interrupted"):
            wire = json.dumps({"label": "rtvi-ai", "type": kind, "id": "1", "data": {}})
            await page.evaluate("(m) => channel.dispatchEvent(new MessageEvent('message', {data: m}))", wire)
        for bad in ("dancing", "", None, 7, ["speaking"], "toString"):
            await tell(page, type="agent-state", state=bad)
        assert await page.get_attribute("#agent-state", "data-state") == "thinking"
        await expect(page.locator("#agent-state")).to_have_text("Thinking")


async def test_who_hung_up_is_told_without_alarm(chromium: BrowserFactory) -> None:
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.add_init_script(KEEP_CHANNEL)
        for reason, title, alarms in (
            ("hung_up", "The agent hung up", False),
            ("x", "The service ended the call", True),
        ):
            await join(page, service.url)
            await tell(page, type="call-ended", reason=reason, detail="The agent hung up.", fault="agent")
            await expect(page.locator("#call-state")).to_have_attribute("data-state", "ended")
            await expect(page.locator("#call-reason")).to_have_text(re.compile(rf"^{title} after \d:\d\d$"))
            await expect(page.locator("#error-banner")).to_be_visible(visible=alarms)


async def test_a_hang_up_while_the_browser_asks_is_final(chromium: BrowserFactory) -> None:
    """The microphone that is allowed too late is let go; the next call may use it."""
    ask = """
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wish) => {
            await new Promise((done) => { window.allow = done; });
            return (window.opened = await open(wish));
        };
    """
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page()
        await page.add_init_script(ask)
        await page.goto(service.url)
        await page.click("#connect")
        await expect(page.locator("#call-reason")).to_contain_text("Allow the microphone")
        await page.keyboard.press("Escape")
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "ended")
        await page.evaluate("window.allow()")
        await page.wait_for_function("() => window.opened?.getTracks().every((one) => one.readyState === 'ended')")
        await expect(page.locator("#mute")).to_be_disabled()
        assert await page.evaluate("window.talkspurt.pc") is None
        await page.click("#connect")
        await page.wait_for_function("() => document.body.dataset.call === 'connecting'")
        await page.evaluate("window.allow()")
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected", timeout=ANSWER_MS)


def shows(data: bytes, mime_type: str) -> Raw:
    part = {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}
    return Raw(message("raw", {"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}}))


@asynccontextmanager
async def drawing(
    chromium: BrowserFactory, on_turn: Callable[[Turn], Reply], server_key: str | None = None
) -> AsyncIterator[tuple[Page, str]]:
    """Serve an agent whose answers are pictures; yield a page and the service's address."""
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(running_emulator(on_turn=on_turn, speech_recognition=False))
        endpoint = LiveEndpoint("test-key", emulator.url, str(emulator.ca_file), offline_demo=True)
        settings = Settings(port=0, drain_timeout_s=0.1, overload_lag_ms=1e4, server_key=server_key)
        url = await stack.enter_async_context(running(settings, endpoint))
        browser = await stack.enter_async_context(chromium())
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.add_init_script(KEEP_CHANNEL)
        yield page, url


async def expect_drawn(page: Page, number: int, width: int, height: int) -> None:
    """Wait until a picture is drawn, whole and within the transcript."""
    image = page.get_by_alt_text(f"Picture {number} from the agent")
    await expect(image).to_be_visible(timeout=ANSWER_MS)
    size = await image.evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
    assert size == [width, height]
    box, around = await image.bounding_box(), await page.locator("#transcript").bounding_box()
    assert box is not None
    assert around is not None
    assert box["x"] >= around["x"]
    assert box["x"] + box["width"] <= around["x"] + around["width"]
    assert box["height"] <= 320


@pytest.mark.parametrize("takes_small_messages", [False, True])
async def test_pictures_of_the_model_are_drawn(
    chromium: BrowserFactory, tmp_path: Path, takes_small_messages: bool
) -> None:
    """One that is in its message, or was until the message had to be shortened, and one that is fetched."""
    small = picture(tmp_path / "small.jpg", 160, 120, noise=True).read_bytes()
    large = picture(tmp_path / "large.png", 900, 1400, noise=True).read_bytes()
    assert SMALL_MESSAGES * 3 / 4 < len(small) <= MAX_INLINE_PICTURE_BYTES < len(large) < MAX_PICTURE_BYTES
    fetched: list[str] = []

    async def say_what_it_takes(route: Route) -> None:
        body = (route.request.post_data or "").replace(
            "max-message-size:262144", f"max-message-size:{SMALL_MESSAGES}"
        )
        assert f"max-message-size:{SMALL_MESSAGES}" in body
        await route.continue_(post_data=body)

    def answer(_turn: Turn) -> Reply:
        return (shows(small, "image/jpeg"), shows(large, "image/png"), Say("Here they are."))

    async with drawing(chromium, answer, server_key=KEY) as (page, url):
        complaints = complaints_of(page)
        page.on("request", lambda request: fetched.append(request.url) if "/pictures/" in request.url else None)
        if takes_small_messages:
            await page.route("**/whip", say_what_it_takes)
        await page.add_init_script(f"sessionStorage.setItem('talkspurt.key', '{KEY}')")
        await join(page, url)
        await type_to_agent(page, "draw two houses")
        await expect_drawn(page, 1, 160, 120)
        await expect_drawn(page, 2, 900, 1400)
        await expect(page.locator("#announcer")).to_contain_text("Agent sent a picture.")
        await take_screenshot(page, tmp_path, "drawn")
        await page.set_viewport_size({"width": 390, "height": 844})
        await expect_drawn(page, 2, 900, 1400)
        await take_screenshot(page, tmp_path, "drawn-phone")
        assert [address.rsplit("/", 1)[1] for address in fetched] == (["1", "2"] if takes_small_messages else ["2"])
        row = page.locator("#event-list .log-data").filter(has_text="agent-showed-picture").first
        assert 0 < len(await row.text_content() or "") < 400  # and not all of the Base64
        assert complaints == []


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


def huge_png() -> bytes:
    """Return a few kilobytes that unfold to 64 megapixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    side = 8000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit of grey a pixel
    rows = zlib.compress(bytes((1 + side // 8) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"mime_type": "image/svg+xml", "data": SVG}, "neither PNG, JPEG, WebP nor GIF"),
    ({"mime_type": "text/html", "data": b"<script>alert(1)</script>"}, "neither PNG, JPEG, WebP nor GIF"),
    ({"mime_type": ["image/png"], "data": b"x"}, "neither PNG, JPEG, WebP nor GIF"),
    ({"mime_type": None, "data": b"x"}, "neither PNG, JPEG, WebP nor GIF"),
    ({"data": SVG}, "cannot be read"),
    ({"data": b"\x89PNG\r\n\x1a\n" + bytes(64)}, "cannot be read"),
    ({"data": huge_png()}, "too many pixels"),
    ({"bytes": MAX_PICTURE_BYTES + 1}, "too large"),
    ({"bytes": -1}, "empty"),
    ({"bytes": "Infinity"}, "empty"),
    ({"number": "1/../../state"}, "no number"),
    ({"number": 1.5}, "no number"),
    ({"path": "https://pictures.example/v1/realtime/calls/{call}/pictures/1"}, "Its address is not"),
    ({"path": "//pictures.example/v1/realtime/calls/{call}/pictures/1"}, "Its address is not"),
    ({"path": "javascript:alert(1)"}, "Its address is not"),
    ({"path": "data:image/png;base64,AAAA"}, "Its address is not"),
    ({"path": "/v1/realtime/calls/rtc_other/pictures/1"}, "Its address is not"),
    ({"path": "/v1/realtime/calls/{call}/pictures/2"}, "Its address is not"),
    ({"path": "/v1/realtime/calls/{call}/pictures/1?then=https://pictures.example"}, "Its address is not"),
    ({"path": "/v1/realtime/calls/{call}/state"}, "Its address is not"),
    ({"path": "http://["}, "Its address is not"),
    ({"path": None}, "Its address is not"),
    ({}, "no picture 1"),
]


async def test_hostile_pictures_are_not_drawn(chromium: BrowserFactory, tmp_path: Path) -> None:
    """Nothing is requested but pictures of the call itself; what is refused is said in words, as text."""
    requests: list[str] = []
    async with drawing(chromium, lambda _turn: (Say("Fine."),)) as (page, url):
        await join(page, url)
        await page.evaluate("() => { window.ran = 0; window.alert = () => { window.ran++; }; }")
        accepted = page.locator("#event-list .log-data").filter(has_text='"location"').first
        call = json.loads(await accepted.text_content() or "")["location"].rsplit("/", 1)[1]
        page.on("request", lambda request: requests.append(request.url) if "blob:" not in request.url else None)
        notes = page.locator("#transcript .picture .hint")
        for count, (change, reason) in enumerate(HOSTILE, 1):
            data = {"number": 1, "mime_type": "image/png", "bytes": 64, "data": None}
            data |= {"path": "/v1/realtime/calls/{call}/pictures/1"} | change
            if isinstance(data["data"], bytes):
                data |= {"bytes": len(data["data"]), "data": base64.b64encode(data["data"]).decode()}
            if isinstance(data["path"], str):
                data["path"] = data["path"].replace("{call}", call)
            await tell(page, type="agent-showed-picture", **data)
            await expect(notes).to_have_count(count)
            await expect(notes.last).to_contain_text(reason)
        await take_screenshot(page, tmp_path, "refused-pictures")
        assert await page.locator("#transcript img, #transcript svg, #transcript script").count() == 0
        assert [address.partition("/v1/")[2] for address in requests] == [f"realtime/calls/{call}/pictures/1"]
        assert await page.evaluate("window.ran") == 0
        await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected")


async def test_the_oldest_pictures_give_their_memory_back(chromium: BrowserFactory, tmp_path: Path) -> None:
    small = picture(tmp_path / "small.png", 8, 8, noise=False).read_bytes()
    inline = {"mime_type": "image/png", "bytes": len(small), "data": base64.b64encode(small).decode(), "path": ""}
    async with drawing(chromium, lambda _turn: (Say("Fine."),)) as (page, url):
        await join(page, url)
        for number in range(1, 19):
            await tell(page, type="agent-showed-picture", number=number, **inline)
            await expect(page.get_by_alt_text(f"Picture {number} from the agent", exact=True)).to_be_visible()
        await expect(page.locator("#transcript .picture img")).to_have_count(16)
        await expect(page.locator("#transcript .picture").nth(1)).to_contain_text("no longer kept")
        # a new call begins below a line, and pictures of earlier ones stay
        await page.click("#hangup")
        await page.click("#connect")
        await expect(page.locator("#transcript .divider")).to_have_count(1)
        await expect(page.locator("#transcript .picture img")).to_have_count(16)
