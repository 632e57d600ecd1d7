"""Firefox, driven by WebDriver BiDi (W3C) without a driver of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
START_TIMEOUT_S = 60
ANSWER_S = 30
PREFERENCES = {
    "media.navigator.permission.disabled": True,  # nobody is asked for the microphone,
    "media.navigator.streams.fake": True,  # which is a tone
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


def why_no_firefox() -> str | None:
    """Say why Firefox cannot be driven here; None if it can."""
    if shutil.which("firefox-esr") is None:
        return "firefox-esr missing: deploy/system-packages.sh test installs it on Debian"
    return None


class FirefoxPage:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._context = ""

    async def open(self) -> None:
        """Begin a session and find the tab."""
        await self.send("session.new", capabilities={})
        tree = await self.send("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        """Load a page."""
        await self.send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited; only texts, numbers and booleans can be returned."""
        result = await self.send(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        if result["type"] != "success":
            raise AssertionError(result["exceptionDetails"]["text"])
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(ANSWER_S):
            while not await self.evaluate(expression):  # noqa: ASYNC110  the page tells nobody
                await asyncio.sleep(0.1)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        number = next(self._numbers)
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(ANSWER_S):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == number:
                    assert message["type"] == "success", message
                    found: dict[str, Any] = message["result"]
                    return found


@asynccontextmanager
async def firefox(profile: Path) -> AsyncIterator[FirefoxPage]:
    """Start headless Firefox with an empty profile; yield its tab."""
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        "firefox-esr",
        *("--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port=0", "about:blank"),
        env={"PATH": "/usr/bin:/bin", "HOME": str(profile)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            address = ""
            while not address:
                line = (await process.stderr.readline()).decode(errors="replace")
                assert line, "Firefox ended"
                found = LISTENING.search(line)
                address = found[1] if found else ""
        reading = asyncio.create_task(_read_on(process.stderr))
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}/session", max_msg_size=0) as socket:
            page = FirefoxPage(socket)
            await page.open()
            yield page
    finally:
        if reading is not None:
            reading.cancel()
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


async def _read_on(stream: asyncio.StreamReader) -> None:
    """Read what Firefox says, so that it never waits for somebody who does."""
    while await stream.readline():
        pass
