"""The service as its user starts it: a process of its own, without a key, with the emulator behind it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

AS_MODULE = ("-m", "signaling")
AS_SCRIPT = ("-P", "-c", "from signaling.command.cli import main; main()")  # what .venv/bin/talkspurt does
READY = re.compile(r"open (http://\S+)")
START_TIMEOUT_S = 30


class Service:
    """A running `talkspurt serve`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: list[str]) -> None:
        self.process = process
        self.url = url
        self.log = log


def serving(*arguments: str, **environment: str) -> AbstractAsyncContextManager[Service]:
    """Run `python -m signaling serve` with these arguments until the context ends; SIGTERM must end it."""
    return serving_in(None, AS_MODULE, *arguments, **environment)


@asynccontextmanager
async def serving_in(
    folder: Path | None, command: Sequence[str], *arguments: str, **environment: str
) -> AsyncIterator[Service]:
    """Run `serve` in a folder, as a module or as a script."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "serve",
        *arguments,
        cwd=folder,
        env={**os.environ, "TALKSPURT_DRAIN_TIMEOUT_S": "0.2", **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    log: list[str] = []
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_read(process, log, found))
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            url = await found
        yield Service(process, url, log)
    except BaseException as error:
        error.add_note("The service's last words:\n" + "\n".join(log[-40:]))
        raise
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await process.wait()
        await reader


async def _read(process: asyncio.subprocess.Process, log: list[str], found: asyncio.Future[str]) -> None:
    assert process.stderr is not None
    async for raw in process.stderr:
        line = raw.decode().rstrip()
        log.append(line)
        if (match := READY.search(line)) and not found.done():
            found.set_result(match[1])
    if not found.done():
        found.set_exception(RuntimeError("the service did not start:\n" + "\n".join(log)))
