"""Pipecat's own JavaScript client, unchanged, talks with the agent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from agent.emulator import running_emulator
from tests.support.browser import BrowserFactory, speech_48k, write_wav
from tests.support.clients import open_app, told
from tests.support.networks import in_private_network, on_other_machine, other_machine
from tests.support.service import service_for

KEY = "the-servers-own-key"
HEADERS = "new Headers({Authorization: 'Bearer the-servers-own-key'})"


@asynccontextmanager
async def app(chromium: BrowserFactory, url: str, microphone: Path | None = None) -> AsyncIterator[Page]:
    """Open a page that uses the client, on the service's own origin."""
    async with chromium(microphone) as browser:
        page = await browser.new_page()
        await open_app(page, url, "pipecat")
        yield page


async def start(page: Page) -> None:
    """Ask for a session, connect to it, and wait until the agent is ready."""
    await page.evaluate(
        f"newClient().startBotAndConnect({{endpoint: location.origin + '/start', headers: {HEADERS}}})"
    )


def heard(text: str) -> Any:
    return lambda data: text in data["text"].lower()


def over(text: str) -> Any:
    return lambda data: text in data["text"] and data["spoken_status"] == "completed"


async def test_a_whole_call(chromium: BrowserFactory, tmp_path: Path) -> None:
    """Talk, type, watch a tool, ask the service, press keys, hang up."""
    question = (4.0, speech_48k("what time is it"), 4.0)  # asked again if the first is over before the call is up
    microphone = write_wav(tmp_path / "caller.wav", *question, *question, *question, *question)
    async with (
        running_emulator(speech_recognition=True) as emulator,
        service_for(emulator, offline_demo=True, server_key=KEY, tool_reports="full") as url,
        app(chromium, url, microphone) as page,
    ):
        await start(page)
        ready = await told(page, "botReady")
        assert ready["version"].startswith("2.")

        await told(page, "userStartedSpeaking")
        await told(page, "userTranscript", heard("time"))
        await page.evaluate("client.enableMic(false)")
        await told(page, "botStartedSpeaking")
        await told(page, "botOutput", over("It is"))
        await told(page, "botTranscript", lambda data: "It is" in data["text"])
        await told(page, "botStoppedSpeaking")
        played = await page.evaluate("inboundAudio()")
        assert played["totalAudioEnergy"] > 0.001

        await page.evaluate("client.sendText('what is twelve plus thirty')")
        await told(page, "botOutput", over("42"))

        await page.evaluate("client.sendText('what is the weather in Paris')")
        called = await told(page, "llmFunctionCallInProgress")
        assert called["function_name"] == "get_weather"
        assert called["arguments"] == {"city": "Paris"}
        ended = await told(page, "llmFunctionCallStopped")
        assert ended["tool_call_id"] == called["tool_call_id"]
        assert not ended["cancelled"]

        assert await page.evaluate("client.sendClientRequest('interrupt', {})") in (
            {"interrupted": True},
            {"interrupted": False},
        )
        refused = await page.evaluate("client.sendClientRequest('sing', {}).catch((refusal) => refusal.data.error)")
        assert refused == "sing: there is no client-message of this name"

        await page.evaluate("client.sendDTMF('12#')")
        await told(page, "serverMessage", lambda data: data.get("type") == "key-pressed" and data["key"] == "#")
        await emulator.wait_for(lambda: any("1 2 #" in text for text in emulator.sessions[0].texts))

        await page.evaluate("client.disconnect()")
        await emulator.wait_for(lambda: not emulator.sessions[0].open)
        assert len(emulator.sessions) == 1


async def test_a_call_goes_on_from_another_network(
    chromium: BrowserFactory, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The client connects anew by itself: to the same call, in the same Live session, and the story goes on."""
    if not in_private_network(request):
        return
    with other_machine(tmp_path) as machine:
        async with (
            running_emulator() as emulator,
            service_for(emulator, offline_demo=True, host="0.0.0.0", server_key=KEY) as local,
            chromium(
                program=machine.program("/usr/bin/chromium"),
                more_flags=[f"--unsafely-treat-insecure-origin-as-secure={on_other_machine(local)}"],
            ) as browser,
        ):
            page = await browser.new_page()
            await open_app(page, on_other_machine(local), "pipecat")
            await start(page)
            await told(page, "botReady")
            await page.evaluate("client.sendText('tell me a long story')")
            await told(page, "botOutput", lambda data: len(data["text"]) > 40)
            machine.change_networks()
            changed_at = time.monotonic()
            pc = "client.transport.pc"
            await page.evaluate(f"window.lost = {pc}")
            await page.wait_for_function(f"{pc} !== lost && {pc}.connectionState === 'connected'", timeout=30_000)
            await page.wait_for_function("inboundAudio().then((heard) => heard?.totalAudioEnergy > 0.001)")
            print(f"audio back {time.monotonic() - changed_at:.1f} s after the change of networks")
            await page.evaluate("client.sendText('what is twelve plus thirty')")
            await told(page, "botOutput", over("42"))
            cut = await told(page, "botOutput", lambda data: data["interrupted"])
            assert cut["text"], "the story was not going on"
            names = [name for name, _data in await page.evaluate("told")]
            assert names.count("botReady") == 1
            assert "disconnected" not in names
            assert len(emulator.sessions) == 1
            await page.evaluate("client.disconnect()")
            await emulator.wait_for(lambda: not emulator.sessions[0].open)
