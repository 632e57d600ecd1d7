"""The page of a load test in Chromium: it needs no network, and a click on a call shows its timeline."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from signaling.load.generator import Generated, Sample
from signaling.load.hearing import Talk
from signaling.load.page import page, plotly
from signaling.load.record import COMPLETED, CallRecord, Turn
from signaling.load.report import build
from signaling.load.slo import objectives
from tests.support.browser import BrowserFactory


def call(number: int, outcome: str, start: float) -> CallRecord:
    made = CallRecord(number, "conversation", start, start + 0.1, start + 0.2, start + 0.25, start + 20, outcome)
    made.turns = [Turn(start + 2, start + 3, wants_reply=True)]
    made.talks = [Talk(start + 3.4 + number / 10, start + 6)]
    made.received = 990
    return made


def report_page() -> str:
    records = [call(0, COMPLETED, 100.0), call(1, "<b>lost</b>", 105.0)]
    done = Generated(100.0, 130.0, records, [Sample(101.0 + at, 2, 1.0, 2.0, 5.0) for at in range(25)])
    done.lateness.note(0.001, 2000)
    about = {"url": "http://127.0.0.1:8080/", "started": "today", "summary": "2 callers", "seed": 0}
    return page(build(done, (), objectives({"response_p95_ms": 450}), about), plotly())


async def test_a_report_is_shown_without_a_network(chromium: BrowserFactory, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report_page(), encoding="utf-8")
    async with chromium() as browser:
        shown = await browser.new_page()
        asked, errors = list[str](), list[str]()
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        await shown.goto(file.as_uri())
        await expect(shown.locator("h1")).to_contain_text("failed")
        await expect(shown.locator("#slos")).to_contain_text("response_p95_ms")
        await expect(shown.locator("#slos .fail")).to_have_count(
            2
        )  # the answers are too slow, and a call was dropped
        await expect(shown.locator("#plots .main-svg").first).to_be_visible()
        await expect(shown.locator("#call")).to_contain_text("Call 1, conversation: <b>lost</b>")
        await shown.locator("#calls .points path").first.click(force=True)
        await expect(shown.locator("#call")).to_contain_text("Call 0, conversation: completed")
        await expect(shown.locator("#timeline")).to_contain_text("Timeline of call 0")
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert errors == []
