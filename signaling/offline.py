"""The local emulator in its own process, for a service without an API key."""

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

# The emulator searches the same paths as this process, not the working directory, where an agent.py may be.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from agent.emulator.command import main; sys.exit(main())"
)


@asynccontextmanager
async def emulator_process() -> AsyncIterator[tuple[LiveEndpoint, Callable[[], str | None]]]:
    """Run the emulator on a free loopback port; it ends with this context or with this process.

    Yields:
        Its endpoint, and a function that returns None while it runs and otherwise says that it has ended.

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
        start_new_session=True,  # Ctrl-C must reach the service only, which drains its calls first
    )
    try:
        live = await _endpoint(process)
        watcher = asyncio.create_task(_report_exit(process), name="emulator-watch")
        try:
            yield live, lambda: None if process.returncode is None else "The local emulator has ended."
        finally:
            watcher.cancel()
    finally:
        await _stop(process)


async def _report_exit(process: asyncio.subprocess.Process) -> None:
    """Log an unexpected exit of the process; cancelled before the process is stopped on purpose."""
    code = await process.wait()
    logger.error("the local emulator exited with code %d: no call can be answered; restart the service", code)


async def _endpoint(process: asyncio.subprocess.Process) -> LiveEndpoint:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        told = json.loads(line)
        return LiveEndpoint("offline-demo", told["url"], told["ca_file"], offline_demo=True)
    except (TimeoutError, ValueError, KeyError):
        raise ConfigError("the local emulator did not start; see its messages above") from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the process by closing its standard input; kill it if that takes too long."""
    if process.returncode is None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)  # see _close of signaling.webrtc.calls
        except TimeoutError:
            process.kill()
            await process.wait()
