"""Clients of other makers, as they publish them: their packages, bundled for a page, and pages that use them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, Route

CLIENTS = Path(__file__).parent.parent / "clients"
ESBUILD = CLIENTS / "node_modules" / "esbuild" / "bin" / "esbuild"
PAGE = "<!doctype html><meta charset=utf-8><title>A page of another maker</title><script src=/app.js></script>"


def why_no_clients() -> str | None:
    """Say why the published clients cannot be run here; None if they can."""
    if shutil.which("node") is None:
        return "node missing: install Debian's nodejs and npm, then run npm ci in tests/clients"
    if not ESBUILD.exists():
        return "the clients' packages are missing: run npm ci in tests/clients"
    return None


@cache
def _bundles() -> dict[str, str]:
    return {}


async def bundle(name: str) -> str:
    """Return the script of tests/clients with that name, together with the packages that it imports."""
    reason = why_no_clients()
    if reason is not None:
        pytest.skip(reason)
    if name not in _bundles():
        arguments = (str(CLIENTS / f"{name}.js"), "--bundle", "--format=iife", "--log-level=warning")
        process = await asyncio.create_subprocess_exec(
            "node", str(ESBUILD), *arguments, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            script, _ = await process.communicate()
        assert process.returncode == 0
        _bundles()[name] = script.decode()
    return _bundles()[name]


async def open_app(page: Page, origin: str, name: str) -> None:
    """Open a page of an origin, which nobody serves, that has the script of a client."""
    script = await bundle(name)

    async def serve(route: Route) -> None:
        await route.fulfill(body=script, content_type="text/javascript; charset=utf-8")

    origin = origin.rstrip("/")
    await page.route(f"{origin}/app.js", serve)
    await page.route(f"{origin}/app.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    await page.goto(f"{origin}/app.html")


@asynccontextmanager
async def other_site(name: str) -> AsyncIterator[str]:
    """Serve a page that has the script of a client; yield the origin, which is not the service's."""
    script = await bundle(name)

    async def serve_page(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def serve_script(_request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    app = web.Application()
    app.add_routes([web.get("/app.html", serve_page), web.get("/app.js", serve_script)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://app.localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def told(page: Page, event: str, matches: Callable[[Any], bool] = lambda _data: True) -> Any:
    """Wait until the page's client has told an event whose data matches; return the data."""
    came: list[Any] = []
    try:
        async with asyncio.timeout(30):
            while True:
                came = await page.evaluate("window.told")
                for name, data in came:
                    if name == event and matches(data):
                        return data
                await page.wait_for_timeout(50)
    except TimeoutError as error:
        error.add_note(f"The client told: {came[-20:]}")
        raise
