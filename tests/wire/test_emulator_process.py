"""The emulator as a process of its own."""

import asyncio
import json
import signal
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agent.emulator.command import main


@asynccontextmanager
async def started(*options: str) -> AsyncIterator[tuple[Process, str, Path]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.emulator", "--port", "0", "--no-speech-recognition", *options),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            ready = json.loads(await process.stdout.readline())
        yield process, ready["url"], Path(ready["ca_file"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_tells_where_it_is_and_ends_on_a_signal() -> None:
    async with started() as (process, url, ca_file):
        context = ssl.create_default_context(cafile=ca_file)
        async with aiohttp.ClientSession() as http, http.get(url, ssl=context) as answer:
            assert answer.status == 404
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            rest, _ = await process.communicate()
        assert process.returncode == 0
        assert rest == b""
        assert not ca_file.parent.exists()


async def test_it_ends_with_its_parent() -> None:
    async with started("--exit-with-parent", "--pace", "3") as (process, _, ca_file):
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert not ca_file.parent.exists()


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--host", "example.org"], ["--pace", "0"]])
def test_what_cannot_work_is_a_configuration_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    assert options[0] in capsys.readouterr().err
