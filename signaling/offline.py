"""The local emulator as a process of its own, for a service without an API key."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.errors import ConfigError
from agent.live.config import LiveEndpoint

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0

# It finds its modules where this process does, and not in the working directory: an agent.py may lie there.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from agent.emulator.command import main; sys.exit(main())"
)


@asynccontextmanager
async def emulator_process() -> AsyncIterator[tuple[LiveEndpoint, Callable[[], str | None]]]:
    """Run the emulator on a free port of loopback; it ends with this context, or with this process.

    Yields:
        Where it is, and a function that says why it is not there any more, or None while it is.

    Raises:
        ConfigError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        _PROGRAM,
        json.dumps(sys.path),
        "--port",
        "0",
        "--exit-with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the service, which drains its calls first
    )
    try:
        live = await _endpoint(process)
        mourner = asyncio.create_task(_report_death(process), name="emulator-watch")
        try:
            yield live, lambda: None if process.returncode is None else "The local emulator has ended."
        finally:
            mourner.cancel()
    finally:
        await _stop(process)


async def _report_death(process: asyncio.subprocess.Process) -> None:
    """Ends when the process does, which nobody asked it to, or is cancelled before it is asked."""
    code = await process.wait()
    logger.error("the local emulator has ended with code %d: no call can be answered; restart the service", code)


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
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)  # see _close of signaling.webrtc.calls
        except TimeoutError:
            process.kill()
            await process.wait()
