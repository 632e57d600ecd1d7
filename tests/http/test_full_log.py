"""A service whose log nobody reads any more takes calls as before, and ends when it is told to."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]
OFFER = (ROOT / "tests" / "data" / "chromium_offer_mdns.sdp").read_bytes().decode()
PIPE_BYTES = 4096  # the smallest there is: a few lines of the log fill it
OFFERS = 40


@asynccontextmanager
async def service_with_full_log() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    (port,) = free_ports(1)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(writer, False)
    filled = os.write(writer, b"x" * PIPE_BYTES)
    os.set_blocking(writer, True)  # as a shell hands it on
    assert filled == PIPE_BYTES
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signaling", "serve", "--port", str(port), "--log-level", "debug"),
        stdin=DEVNULL,
        stdout=writer,
        stderr=writer,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("TALKSPURT_", "GOOGLE_"))},
    )
    os.close(writer)
    try:
        yield f"http://127.0.0.1:{port}/", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(reader)


async def until_healthy(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with http.get(f"{url}healthz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.1)


async def offered(http: aiohttp.ClientSession, url: str) -> str:
    """Offer a call as often as the service says that it has no time for it, which is true of a busy machine."""
    async with asyncio.timeout(60):
        while True:
            async with http.post(f"{url}whip", data=OFFER, headers={"Content-Type": "application/sdp"}) as response:
                if response.status == 201:
                    return response.headers["Location"]
                problem = await response.json()
                assert problem["error"]["code"] == "overloaded", problem
            await asyncio.sleep(0.5)


async def test_nobody_reads_the_log() -> None:
    async with service_with_full_log() as (url, process), aiohttp.ClientSession() as http:
        await until_healthy(http, url)
        for _ in range(OFFERS):
            location = await offered(http, url)
            async with http.delete(f"{url.rstrip('/')}{location}") as response:
                assert response.status == 200
        process.terminate()
        began = time.monotonic()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        print(f"ended after {time.monotonic() - began:.1f} s")
