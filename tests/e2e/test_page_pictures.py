"""Pictures that a caller attaches to what they type in the page."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Route, expect

from tests.support.browser import (
    ANSWER_MS,
    BrowserFactory,
    complaints_of,
    final_turns,
    join,
    picture,
    take_screenshot,
    type_to_agent,
)
from tests.support.process import serving


async def test_attached_pictures_are_seen(chromium: BrowserFactory, tmp_path: Path) -> None:
    """One as it is, more than a data channel carries, and one that is scaled down first."""
    photo = picture(tmp_path / "photo.jpg", 640, 480, noise=True)
    assert photo.stat().st_size > 100_000
    plan = picture(tmp_path / "plan.png", 5000, 3000, noise=False)
    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        complaints = complaints_of(page)
        await page.goto(service.url)
        await expect(page.locator("#attach")).to_be_disabled()
        await join(page, service.url)
        await page.set_input_files("#attach-files", [photo, plan])
        thumbnails = page.locator("#attachments button")
        await expect(thumbnails).to_have_count(2)
        await take_screenshot(page, tmp_path, "attached")
        await type_to_agent(page, "what do you see")
        await expect(thumbnails).to_have_count(0)
        seen = final_turns(page, "agent", "2048 by 1229 pixels. I have 2")
        await expect(seen).to_have_count(1, timeout=ANSWER_MS)
        await expect(final_turns(page, "caller", "what do you see")).to_have_count(1)

        # one is taken back, the other goes without words
        await page.set_input_files("#attach-files", [photo, plan])
        await page.get_by_role("button", name="Remove plan.png").click()
        await expect(thumbnails).to_have_count(1)
        await page.press("#text", "Enter")
        await expect(final_turns(page, "caller", "Describe what you see.")).to_have_count(1, timeout=ANSWER_MS)
        await expect(final_turns(page, "agent", "640 by 480")).to_have_count(1, timeout=ANSWER_MS)
        assert complaints == []


async def test_pictures_that_are_refused_are_told_of(chromium: BrowserFactory, tmp_path: Path) -> None:
    note = tmp_path / "note.jpg"
    note.write_text("no picture")
    photo = picture(tmp_path / "photo.jpg", 64, 48, noise=False)

    async def refuse(route: Route) -> None:
        body = '{"title": "Body too large", "detail": "A picture may have 4 MiB at most."}'
        await route.fulfill(status=413, content_type="application/problem+json", body=body)

    async with serving("--port", "0") as service, chromium() as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        await join(page, service.url)
        banner = page.locator("#error-banner")
        await page.set_input_files("#attach-files", note)
        await expect(banner).to_contain_text("not a picture")
        await page.click("#error-close")
        await page.route("**/pictures", refuse)
        await page.set_input_files("#attach-files", photo)
        await expect(page.locator("#attachments button")).to_have_count(1)
        await take_screenshot(page, tmp_path, "attached-phone")
        await type_to_agent(page, "what do you see")
        await expect(banner).to_contain_text("A picture may have 4 MiB at most.")
        await expect(page.locator('#transcript [data-speaker="caller"]')).to_contain_text("not delivered")
