"""The local emulator as a process of its own, for a service without an API key."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.errors import ConfigError
from agent.live.config import LiveEndpoint

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


@asynccontextmanager
async def emulator_process() -> AsyncIterator[LiveEndpoint]:
    """Run the emulator on a free port of loopback; it ends with this context, or with this process.

    Raises:
        ConfigError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent.emulator",
        "--port",
        "0",
        "--exit-with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the service, which drains its calls first
    )
    try:
        yield await _endpoint(process)
    finally:
        await _stop(process)


async def _endpoint(process: asyncio.subprocess.Process) -> LiveEndpoint:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        told = json.loads(line)
        return LiveEndpoint("offline-demo", told["url"], told["ca_file"], offline_demo=True)
    except (TimeoutError, ValueError, KeyError):
        raise ConfigError("the local emulator did not start; its messages above say why") from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Close its standard input, which ends it; kill it if that takes too long."""
    if process.returncode is None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
