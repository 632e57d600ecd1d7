"""Chromium, a voice for its microphone, and what one does and sees in the page."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.async_api import Browser, Page, expect

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
ANSWER_MS = 15_000
SCREENSHOTS = os.environ.get("TALKSPURT_TEST_SCREENSHOTS")
KEEP_CHANNEL = """
    const create = RTCPeerConnection.prototype.createDataChannel;
    RTCPeerConnection.prototype.createDataChannel = function (...args) {
        return (window.channel = create.apply(this, args));
    };
"""
"A script that keeps the data channel as `window.channel`."

BrowserFactory = Callable[..., AbstractAsyncContextManager[Browser]]
"The type of the fixture `chromium`."


def why_no_browser() -> str | None:
    """Say why no browser can be driven here; None if one can."""
    if shutil.which("chromium") is None:
        return "chromium missing: deploy/system-packages.sh test installs it on Debian"
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return "libatomic1 missing, which Playwright's driver needs: deploy/system-packages.sh test installs it"
    return None


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


async def join(page: Page, url: str) -> None:
    """Open the page and call the agent."""
    await page.goto(url)
    await expect(page.locator("#camera")).to_be_disabled()
    await page.click("#connect")
    await expect(page.locator("#call-state")).to_have_attribute("data-state", "connected", timeout=ANSWER_MS)


def complaints_of(page: Page) -> list[str]:
    """Return a list that takes up what the page complains of from now on."""
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


async def switch(page: Page, source: str, on: bool) -> None:
    """Press the source's button and wait until button and preview say so."""
    await page.click(f"#{source}")
    await expect_source(page, source, on)


async def expect_source(page: Page, source: str, on: bool) -> None:
    await expect(page.locator(f"#{source}")).to_have_attribute("aria-pressed", "true" if on else "false")
    await expect(page.locator(f"#{source}-tile")).to_be_visible(visible=on)


async def type_to_agent(page: Page, words: str) -> None:
    """Send a typed text."""
    await page.fill("#text", words)
    await page.press("#text", "Enter")


def final_turns(page: Page, speaker: str, text: str) -> Any:
    """Find the finished turns of a speaker that have that text in them."""
    return page.locator(f'#transcript [data-turn][data-speaker="{speaker}"][data-final="true"]').filter(
        has_text=text
    )


async def inbound_audio(page: Page) -> dict[str, Any]:
    """Return the browser's own statistics of the agent's voice (webrtc-stats, inbound-rtp)."""
    reports: list[dict[str, Any]] = await page.evaluate("window.talkspurt.stats()")
    return next(r for r in reports if r["type"] == "inbound-rtp" and r["kind"] == "audio")


async def take_screenshot(page: Page, folder: Path, name: str) -> None:
    """Write a screenshot, which must show something."""
    target = Path(SCREENSHOTS) if SCREENSHOTS else folder
    await page.screenshot(path=target / f"{name}.png")
    assert (target / f"{name}.png").stat().st_size > 10_000


async def tell(page: Page, **data: Any) -> None:
    """Have the page receive a server-message; the page was opened with KEEP_CHANNEL."""
    message = json.dumps({"label": "rtvi-ai", "type": "server-message", "id": "1", "data": data})
    await page.evaluate("(m) => channel.dispatchEvent(new MessageEvent('message', {data: m}))", message)


async def expect_agent(page: Page, state: str) -> None:
    await expect(page.locator("#agent-state")).to_have_attribute("data-state", state, timeout=ANSWER_MS)


def picture(path: Path, width: int, height: int, *, noise: bool) -> Path:
    """Write a picture of the file's type: with noise it is large, without it small."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    if noise:
        pixels = np.random.default_rng(1).integers(0, 255, pixels.shape, np.uint8)
    codec, pixel_format = ("png", "rgb24") if path.suffix == ".png" else ("mjpeg", "yuvj420p")
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    context.framerate = Fraction(1)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pixel_format)
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path
