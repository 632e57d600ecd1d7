"""The operator's page in Chromium: live calls, history, one call and its recording, erasing, who may see it."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, expect

from agent.call import quality
from agent.emulator import Emulator
from signaling.client.caller import call_service
from signaling.history.history import History, open_history
from signaling.history.objects import recording_key
from signaling.history.record import Recording
from tests.support.browser import ANSWER_MS, BrowserFactory, complaints_of, take_screenshot
from tests.support.history import BEGAN_MS, call, end, said, used
from tests.support.recordings import tone, write_sides
from tests.support.service import service_for

KEY = "a-server-key-of-the-tests"
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
LENGTH_S = 12.0
STAGES = {"uplink_ms": 20.0, "model_ms": 470.0, "tools_ms": 0.0, "voice_ms": 60.0, "downlink_ms": 14.0}
SET_UP = {"answer_ms": 24.0, "media_ms": 166.0, "agent_ms": 220.0, "first_audio_ms": 310.0}


def marks_of(ms: int) -> list[dict[str, Any]]:
    """Return marks as a call's timeline has them, of a call that began then."""
    return [
        {"name": "set_up", "at_ms": ms, "stages": SET_UP},
        {"name": "answer", "at_ms": ms + 24},
        {"name": "live_ready", "at_ms": ms + 410},
        {"name": "turn", "at_ms": ms + 3000, "asked_ms": ms + 2600, "stages": STAGES},
        {"name": "go_away", "at_ms": ms + 5200, "detail": "10 s"},
        {"name": "turn", "at_ms": ms + 7400, "asked_ms": ms + 6900, "stages": {**STAGES, "tools_ms": 120.0}},
        {"name": "call_ended", "at_ms": ms + 12_000, "detail": "hung_up"},
    ]


async def keep_talk(history: History, folder: Path, number: int = 40) -> str:
    """Keep a call with everything that there can be, and its recording; return its id."""
    of = call(number, caller="+49 30 901820")
    ms = of.started_ms
    history.started(of)
    turns = (
        said("What is the weather in Rome, and in Oslo?", "t1", started_ms=ms + 1200, ended_ms=ms + 2600),
        said(
            "In Rome it is sunny, some 24 degrees. In Oslo",
            "t2",
            speaker="agent",
            started_ms=ms + 3300,
            ended_ms=ms + 5400,
            unheard="it rains all day, and tomorrow too.",
            interrupted=True,
            estimated=True,
            response_ms=700,
        ),
        said(f"Stop. {HOSTILE}", "t3", started_ms=ms + 5500, ended_ms=ms + 6900),
        said("All right.", "t4", speaker="agent", started_ms=ms + 7600, ended_ms=ms + 9000, response_ms=700),
        said("thank you", "t5", started_ms=ms + 10_000, ended_ms=ms + 10_000, typed=True),
    )
    for turn in turns:
        history.turn(of, turn)
    history.tool(
        of,
        used(
            started_ms=ms + 2700,
            ended_ms=ms + 2980,
            arguments={"city": "Rome", "card": "***"},
            result={"output": {"sky": HOSTILE, "temperature_c": 24}},
        ),
    )
    history.tool(of, used("c2", name="get_forecast", started_ms=ms + 2990, ended_ms=ms + 3100, outcome="timeout"))
    history.ended(
        of,
        end(
            of,
            ended_ms=ms + int(LENGTH_S * 1000),
            turns=5,
            interruptions=1,
            cost_usd=0.0123,
            tokens={"prompt": {"AUDIO": 1200, "TEXT": 300}, "response": {"AUDIO": 900}},
            stats={"inbound_packets": 590, "inbound_lost_packets": 10, "heard_s": 3.5, "sessions": 2},
            marks=marks_of(ms),
            mos_in=4.1,
            mos_out=4.3,
        ),
    )
    key = recording_key(of.call_id, ms, ".webm")
    file = write_sides(
        folder / "sides.webm", tone(440, 1.2, 2.6, LENGTH_S), tone(880, 3.3, 5.4, LENGTH_S, level=0.25)
    )
    assert history.objects is not None
    size = await history.objects.move_in(key, file)
    stored = Recording(state="stored", key=key, duration_ms=int(LENGTH_S * 1000), size_bytes=size)
    history.recording(of, stored)
    await history.written()
    return of.call_id


@pytest.fixture
async def kept(tmp_path: Path) -> dict[str, Any]:
    """A history with some calls; returns the settings of a service that has it."""
    settings = {
        "history_url": f"sqlite:///{tmp_path / 'calls.db'}",
        "record_store": str(tmp_path / "recordings"),
        "server_key": KEY,
    }
    reasons = ("hung_up", "idle", "live_lost", "hung_up", "caller_left")
    async with open_history(
        settings["history_url"], worker="seed", record_store=settings["record_store"]
    ) as history:
        for number in range(1, 40):
            of = call(number, caller=f"+49 30 5550{number % 7}", direction="inbound")
            history.started(of)
            history.turn(of, said(f"My order {number} has not come."))
            history.turn(of, said("I look after it.", "t2", speaker="agent", response_ms=640))
            history.ended(of, end(of, reason=reasons[number % 5], turns=2))
        await keep_talk(history, tmp_path)
    return settings


async def unlock(page: Page, url: str, fragment: str = "") -> None:
    await page.goto(f"{url}calls{fragment}")
    await expect(page.locator("#key-dialog")).to_be_visible()
    await page.fill("#key", KEY)
    await page.press("#key", "Enter")
    await expect(page.locator("#key-dialog")).to_be_hidden()


async def axe(page: Page) -> list[tuple[str, str, str]]:
    """Return what axe-core complains of: rule, element and why."""
    source = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    await page.evaluate(source)
    found = await page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [
        (rule["id"], node["html"][:200], node["failureSummary"])
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def rows(page: Page) -> Any:
    return page.locator("#list [role=option]")


async def test_one_call_is_shown_whole(
    chromium: BrowserFactory, emulator: Emulator, kept: dict[str, Any], tmp_path: Path
) -> None:
    """Search finds it; transcript, tools, plots, events and recording are there; nothing of it runs as markup."""
    async with service_for(emulator, **kept) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await unlock(page, url)
        await expect(page.locator("#list-state")).to_have_text("40 calls")
        await page.fill("#q", "sunny degrees")
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page)).to_contain_text("In Rome it is sunny")
        await rows(page).click()

        await expect(page.locator("#call h2")).to_have_text("+49 30 901820")
        await expect(page.locator(".said .turn")).to_have_count(5)
        cut = page.locator('.turn[data-interrupted="true"]')
        await expect(cut.locator("del")).to_contain_text("it rains all day, and tomorrow too.")
        struck = await cut.locator("del").evaluate("(e) => getComputedStyle(e).textDecorationLine")
        assert struck == "line-through"
        await expect(page.locator(".turn", has_text="Stop.").locator(".words")).to_have_text(f"Stop. {HOSTILE}")
        first = page.locator("details.tool").first
        await first.locator("summary").click()
        await expect(first.locator("pre").first).to_contain_text('"card": "***"')
        await expect(first.locator("pre").last).to_contain_text(json.dumps(HOSTILE))
        await expect(page.locator("details.tool").nth(1).locator(".tool-state")).to_contain_text("Timeout")
        await expect(page.locator(".waits tbody tr")).to_have_count(2)
        await expect(page.locator(".waits tbody tr").nth(1)).to_contain_text("684 ms")
        assert "Tools 120 ms" in (await page.locator(".waits tbody tr").nth(1).text_content() or "")
        await expect(page.locator(".events li")).to_have_count(4)
        await expect(page.locator(".facts")).to_contain_text("$0.0123")
        await expect(page.locator(".facts")).to_contain_text("1.7 %")
        await expect(page.locator(".player")).to_be_visible(timeout=ANSWER_MS)

        assert await axe(page) == []
        await page.evaluate("document.getElementById('call').scrollTop = 0")
        await take_screenshot(page, tmp_path, "operator")
        await page.emulate_media(color_scheme="dark")
        assert await axe(page) == []
        await take_screenshot(page, tmp_path, "operator-dark")
        assert await page.evaluate("window.hacked") is None
        assert complaints == []


async def test_the_recording_is_played_with_both_sides(
    chromium: BrowserFactory, emulator: Emulator, kept: dict[str, Any]
) -> None:
    """Each side is decoded from its own track, and both are heard at the place that is sought."""
    measure = """async (path) => {
        const {decodedSides} = await import(path);
        const key = sessionStorage.getItem("talkspurt.key");
        const id = location.hash.slice(1);
        const got = await fetch(`v1/calls/${id}/recording`, {headers: {Authorization: `Bearer ${key}`}});
        const sides = await decodedSides(new Uint8Array(await got.arrayBuffer()), 12000);
        const power = (side, from, to) => {
            const part = side.subarray(from * sides.rateHz, to * sides.rateHz);
            return Math.sqrt(part.reduce((sum, x) => sum + x * x, 0) / part.length);
        };
        const spans = [[1.3, 2.5], [3.4, 5.3], [8, 11]];
        return sides.map((side) => [side.length / sides.rateHz, ...spans.map((span) => power(side, ...span))]);
    }"""
    async with service_for(emulator, **kept) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await unlock(page, url, "#rtc_000040")
        await expect(page.locator(".player")).to_be_visible(timeout=ANSWER_MS)
        caller, agent = await page.evaluate(measure, f"{url}operator/tracks.js")
        assert caller == pytest.approx([LENGTH_S, 0.353, 0, 0], abs=0.03)
        assert agent == pytest.approx([LENGTH_S, 0, 0.177, 0], abs=0.03)

        await page.get_by_role("button", name="Agent, at 0:03: play from here").click()
        await expect(page.locator(".player .figure")).to_have_text("0:03 / 0:12")
        await expect(page.locator('.turn[data-playing][data-speaker="agent"]')).to_have_count(1)
        await page.get_by_role("button", name="Play", exact=True).click()
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await expect(page.locator(".player .figure")).to_have_text("0:04 / 0:12", timeout=ANSWER_MS)
        await page.get_by_role("button", name="Pause").click()
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name=re.compile("Download recording")).click()
        download = await downloading.value
        assert download.suggested_filename == "rtc_000040.webm"
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name="Download record", exact=True).click()
        record = await asyncio.to_thread((await (await downloading.value).path()).read_text)
        assert json.loads(record)["id"] == "rtc_000040"
        await page.goto(f"{url}calls#rtc_000039")
        await expect(page.locator(".recording")).to_have_text("This call was not recorded.")
        assert complaints == []


async def test_the_list_is_worked_with_the_keyboard_and_filtered(
    chromium: BrowserFactory, emulator: Emulator, kept: dict[str, Any], tmp_path: Path
) -> None:
    async with service_for(emulator, **kept) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        complaints = complaints_of(page)
        await unlock(page, url)
        await expect(page.locator("#list-state")).to_have_text("40 calls")
        assert await axe(page) == []
        await take_screenshot(page, tmp_path, "operator-list-phone")
        await page.focus("#list")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowUp")
        active = await page.get_attribute("#list", "aria-activedescendant")
        assert await page.locator(f"#{active}").get_attribute("aria-posinset") == "1"
        await page.keyboard.press("Enter")
        await expect(page.locator("#call h2")).to_be_visible()
        await expect(page.locator("#calls")).to_be_hidden()
        await expect(page.locator("#call")).to_be_focused()
        await expect(page.locator(".player")).to_be_visible(timeout=ANSWER_MS)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await axe(page) == []
        await take_screenshot(page, tmp_path, "operator-phone")
        await page.get_by_role("button", name="All calls").click()
        await expect(page.locator("#list")).to_be_focused()

        await page.click("#more-filters")
        await page.fill("#reason", "live_lost")
        await expect(page.locator("#list-state")).to_have_text("8 calls")
        await page.fill("#caller", "+49 30 55502")
        await expect(page.locator("#list-state")).to_have_text("2 calls")
        await expect(page.locator("#filter-count")).to_have_text("2")
        assert await axe(page) == []
        await page.fill("#caller", "nobody")
        await expect(page.locator("#list-state")).to_have_text("No call fits.")
        await page.click("#clear-filters")
        await expect(page.locator("#list-state")).to_have_text("40 calls")
        began = await page.evaluate(
            "(ms) => { const d = new Date(ms); d.setMinutes(d.getMinutes() - d.getTimezoneOffset());"
            " return d.toISOString().slice(0, 16); }",
            BEGAN_MS + 38 * 60_000,
        )
        await page.fill("#since", began)
        await expect(page.locator("#list-state")).to_have_text("3 calls")
        assert complaints == []


async def test_erasing_asks_first(chromium: BrowserFactory, emulator: Emulator, kept: dict[str, Any]) -> None:
    async with service_for(emulator, **kept) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await unlock(page, url, "#rtc_000040")
        await page.get_by_role("button", name="Erase…").click()
        await expect(page.get_by_role("button", name="Keep it")).to_be_focused()
        assert await axe(page) == []
        await page.keyboard.press("Escape")
        await expect(page.locator("#call h2")).to_have_text("+49 30 901820")
        await page.get_by_role("button", name="Erase…").click()
        await page.get_by_role("button", name="Erase", exact=True).click()
        await expect(page.locator("#call-none")).to_be_visible()
        await expect(page.locator("#list-state")).to_have_text("39 calls")
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
            for path in ("v1/history/rtc_000040", "v1/calls/rtc_000040/recording"):
                async with http.get(f"{url}{path}") as response:
                    assert response.status == 404


def windows_of(began_ms: int, count: int) -> list[dict[str, Any]]:
    """Return the quality of a call that loses packets in its middle, and of which nothing is known for a while."""
    bad = range(count // 3, count // 2)
    return [
        {
            "name": "quality",
            "at_ms": began_ms + (number + 1) * 10_000,
            "mos_in": 2.9 if number in bad else 4.3,
            "mos_out": None if number == 2 else 4.2,
            "loss_in_percent": 8.5 if number in bad else 0.0,
            "loss_out_percent": 0.4,
            "jitter_in_ms": 6.0 + number,
            "jitter_out_ms": 4.0,
            "rtt_ms": 90.0 if number in bad else 60.0,
        }
        for number in range(count)
    ]


async def test_the_quality_over_time_is_drawn_and_told(
    chromium: BrowserFactory, emulator: Emulator, kept: dict[str, Any], tmp_path: Path
) -> None:
    """Each figure has its curve, whose accessible name says its range; the table has every window."""
    async with open_history(kept["history_url"], worker="seed", record_store=kept["record_store"]) as history:
        of = call(50, caller="+49 30 901821")
        history.started(of)
        marks = [*windows_of(of.started_ms, 18), *marks_of(of.started_ms)]
        history.ended(of, end(of, ended_ms=of.started_ms + 180_000, marks=marks))
        await history.written()
    async with service_for(emulator, **kept) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await unlock(page, url, f"#{of.call_id}")
        plots = page.locator(".quality .plot")
        await expect(plots).to_have_count(5)
        for name in (
            "Quality (MOS, estimated): from the caller 2.9 to 4.3; to the caller 4.2",
            "Loss: from the caller 0.0 % to 8.5 %; to the caller 0.4 %",
            "Round-trip time: 60 ms to 90 ms",
            "Response time: 2 answers, 564 ms to 684 ms",
        ):
            await expect(page.get_by_role("img", name=name, exact=True)).to_be_visible()
        curves = [await path.get_attribute("d") or "" for path in await plots.first.locator("path").all()]
        assert [path.count("M") for path in curves] == [1, 2], "a gap where nothing is known"
        assert [path.count("H") for path in curves] == [18, 17]
        highest = [min(map(float, re.findall(r" ([0-9.]+)H", path))) for path in curves]
        assert highest[0] < highest[1], "the better score is drawn higher"
        await page.get_by_role("heading", name="Quality over time").scroll_into_view_if_needed()
        await page.evaluate("document.querySelector('.quality').scrollIntoView()")
        await take_screenshot(page, tmp_path, "operator-quality")

        await page.get_by_text("As a table").focus()
        await page.keyboard.press("Enter")
        rows_of = page.locator(".qualities tbody tr")
        await expect(rows_of).to_have_count(18)
        seventh = await rows_of.nth(6).locator("th, td").all_text_contents()
        assert seventh == ["1:10", "2.9", "4.2", "8.5 %", "0.4 %", "12 ms", "4 ms", "90 ms"]
        assert (await rows_of.nth(2).locator("td").all_text_contents())[1] == "\N{EN DASH}"
        assert await axe(page) == []
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await axe(page) == []
        await page.goto(f"{url}calls#rtc_000039")
        await expect(page.locator("#call h2")).to_have_text("+49 30 55504")
        await expect(plots).to_have_count(1)  # its response time is all that is known
        await expect(page.get_by_text("As a table")).to_be_hidden()
        assert complaints == []


async def test_a_live_call_is_seen_followed_and_hung_up(
    chromium: BrowserFactory,
    emulator: Emulator,
    kept: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quality, "WINDOW_S", 1.0)
    async with service_for(emulator, offline_demo=True, **kept) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await unlock(page, url)
        await expect(page.locator("#live-empty")).to_be_visible()
        async with call_service(url, key=KEY) as caller:
            await caller.message("bot-ready")
            await expect(page.locator("#live li")).to_have_count(1)
            await expect(page.locator("#live li .pill")).to_have_text("Listening")
            await expect(page.locator("#live li .row-figures")).to_contain_text("% lost")
            caller.type("what time is it")
            await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
            await page.locator("#live li .row-name").click()
            await expect(page.locator("#call .reason")).to_have_text("Running")
            await expect(page.locator(".said .turn").first).to_contain_text("what time is it")
            measured = page.locator(".qualities tbody tr")
            await page.get_by_text("As a table").click(timeout=ANSWER_MS)
            await page.locator(".quality .table-box").focus()
            before = await measured.count()
            await expect(measured.nth(before)).to_be_visible(timeout=ANSWER_MS)
            await expect(page.locator(".quality .table-box")).to_be_focused()
            await expect(page.get_by_role("img", name=re.compile("^Loss: from the caller"))).to_be_visible()
            assert await axe(page) == []
            await take_screenshot(page, tmp_path, "operator-live")
            await page.locator("#live").get_by_role("button", name="Hang up: A browser").click()
            ended = await caller.message("server-message", lambda data: data["type"] == "call-ended")
            assert ended["fault"] == "operator"
            await caller.ended()
        await expect(page.locator("#live li")).to_have_count(0)
        await expect(page.locator("#call .reason")).to_have_text("Hung up")
        await expect(page.locator("#list-state")).to_have_text("41 calls")
        assert complaints == []


async def test_nothing_is_shown_without_the_right_key(
    chromium: BrowserFactory, emulator: Emulator, kept: dict[str, Any]
) -> None:
    async with service_for(emulator, **kept) as url, chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{url}calls#rtc_000040")
        await page.fill("#key", "not-the-key-at-all")
        await page.press("#key", "Enter")
        await expect(page.locator("#key-title")).to_have_text("The key was not accepted")
        assert await axe(page) == []
        assert "Rome" not in await page.content()
        await page.fill("#key", KEY)
        await page.press("#key", "Enter")
        await expect(page.locator("#call h2")).to_have_text("+49 30 901820")
        stored = await page.evaluate("[localStorage.length, sessionStorage.length]")
        assert stored == [0, 1]
        await page.click("#forget-key")
        await expect(page.locator("#key-dialog")).to_be_visible()
        assert "Rome" not in await page.content()
        assert await page.evaluate("sessionStorage.length") == 0


async def test_without_a_server_key_there_is_no_page(emulator: Emulator) -> None:
    async with service_for(emulator) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}calls") as response:
            assert response.status == 404
            assert "TALKSPURT_SERVER_KEY" in (await response.json())["detail"]
        async with http.get(f"{url}calls.html") as response:
            assert response.status == 404


async def test_without_a_history_the_page_shows_live_calls(chromium: BrowserFactory, emulator: Emulator) -> None:
    async with service_for(emulator, server_key=KEY) as url, chromium() as browser:
        page = await browser.new_page()
        complaints = complaints_of(page)
        await unlock(page, url)
        await expect(page.locator("#list-state")).to_contain_text("keeps no history")
        await expect(page.locator("#filters")).to_be_hidden()
        assert complaints == []


def fill(path: Path, count: int) -> None:
    """Add calls without turns to a history."""
    columns = (
        "id, worker, state, started_ms, ended_ms, direction, caller, model, reason, detail, fault, turns, "
        "interruptions, recording_state, recording_lost_ms"
    )
    made = (
        (
            *(f"rtc_{n:07}", "seed", "ended", BEGAN_MS + n * 1000, BEGAN_MS + n * 1000 + 42_000, "inbound"),
            *(f"+49 {n}", "gemini-3.8-live", "hung_up", "Bye.", "caller", n % 9, 0, "off", 0),
        )
        for n in range(count)
    )
    with sqlite3.connect(path) as database:
        database.executemany(f"INSERT INTO call ({columns}) VALUES ({','.join('?' * 15)})", made)


async def test_a_hundred_thousand_calls_scroll_without_lag(
    chromium: BrowserFactory, emulator: Emulator, tmp_path: Path
) -> None:
    """All are loaded by scrolling; the document never has more than what can be seen, and frames stay short."""
    count, path = 100_000, tmp_path / "calls.db"
    async with open_history(f"sqlite:///{path}", worker="seed"):
        pass
    await asyncio.to_thread(fill, path, count)
    scroll = """async () => {
        const list = document.getElementById("list");
        const frames = [];
        let most = 0, last = performance.now(), stuck = 0;
        const frame = () => new Promise((done) => requestAnimationFrame(done));
        while (stuck < 300) {
            const height = list.scrollHeight;
            list.scrollTop = height;
            await frame();
            const now = performance.now();
            frames.push(now - last);
            last = now;
            most = Math.max(most, list.querySelectorAll("[role=option]").length);
            stuck = list.scrollHeight === height ? stuck + 1 : 0;
        }
        frames.sort((a, b) => a - b);
        const shown = [...list.querySelectorAll("[role=option]")].map((row) => Number(row.ariaPosInSet));
        const part = (share) => frames[Math.floor((frames.length - 1) * share)];
        return {most, p50: part(0.5), p99: part(0.99), last: Math.max(...shown)};
    }"""
    async with service_for(emulator, history_url=f"sqlite:///{path}", server_key=KEY) as url, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(100_000)
        await unlock(page, url)
        await expect(page.locator("#list-state")).to_contain_text("100 calls and more")
        began = time.monotonic()
        seen = await page.evaluate(scroll)
        print(f"{count} calls scrolled through in {time.monotonic() - began:.1f} s: {seen}")
        assert seen["last"] == count
        assert seen["most"] < 60
        assert seen["p50"] < 50
        await expect(page.locator("#list-state")).to_have_text("100,000 calls")
        await page.focus("#list")
        await page.keyboard.press("Home")
        await expect(rows(page).first).to_have_attribute("aria-posinset", "1")
        await page.keyboard.press("End")
        await expect(rows(page).last).to_have_attribute("aria-posinset", str(count))
