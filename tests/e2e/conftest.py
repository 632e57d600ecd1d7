"""Chromium and the service as its user starts it: its own process, no key, the emulator behind it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.async_api import Browser, async_playwright

from agent.emulator.model.voice import speech_pack
from agent.media.fir import FirResampler, Pcm

FLAGS = [
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = re.compile(r"open (http://\S+)")
START_TIMEOUT_S = 30


class Service:
    """A running `talkspurt serve`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: list[str]) -> None:
        self.process = process
        self.url = url
        self.log = log


AS_MODULE = ("-m", "signaling")
AS_SCRIPT = ("-P", "-c", "from signaling.command.cli import main; main()")  # what .venv/bin/talkspurt does


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


def why_no_browser() -> str | None:
    """Say why no browser can be driven here; None if one can."""
    if shutil.which("chromium") is None:
        return "chromium missing: deploy/system-packages.sh test installs it on Debian"
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return "libatomic1 missing, which Playwright's driver needs: deploy/system-packages.sh test installs it"
    return None


BrowserFactory = Callable[..., AbstractAsyncContextManager[Browser]]


@pytest.fixture
def chromium() -> BrowserFactory:
    """Start headless Chromium: ``async with chromium(microphone=path) as browser``."""
    reason = why_no_browser()
    if reason is not None:
        pytest.skip(reason)

    @asynccontextmanager
    async def start(microphone: Path | None = None) -> AsyncIterator[Browser]:
        flags = list(FLAGS)
        if microphone is not None:
            flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), headless=True, chromium_sandbox=False, args=flags
            )
            yield browser
            await browser.close()

    return start


def speech_48k(phrase: str) -> Pcm:
    """Return a caller's voice from the speech pack: int16, mono, 48 kHz."""
    return FirResampler(24_000, 48_000).push(speech_pack().caller_phrase(phrase))


def write_wav(path: Path, *parts: Pcm | float) -> Path:
    """Write 48 kHz mono speech; a number is a pause in seconds."""
    pcm = np.concatenate([np.zeros(int(p * 48_000), np.int16) if isinstance(p, float | int) else p for p in parts])
    with av.open(str(path), "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        file.mux(stream.encode(frame))
    return path
