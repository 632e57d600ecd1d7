"""Chromium, and a service for tests that run one in their own process."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.support.browser import FLAGS, BrowserFactory, why_no_browser
from tests.support.service import emulator, service

__all__ = ["emulator", "service"]


@pytest.fixture
def chromium() -> BrowserFactory:
    """Start headless Chromium: ``async with chromium(microphone=path) as browser``."""
    reason = why_no_browser()
    if reason is not None:
        pytest.skip(reason)

    @asynccontextmanager
    async def start(
        microphone: Path | None = None, *, program: str | None = None, more_flags: Sequence[str] = ()
    ) -> AsyncIterator[Browser]:
        flags = [*FLAGS, *more_flags]
        if microphone is not None:
            flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=program or shutil.which("chromium"),
                headless=True,
                chromium_sandbox=False,
                args=flags,
            )
            yield browser
            await browser.close()

    return start
