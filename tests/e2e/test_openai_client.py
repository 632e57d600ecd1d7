"""OpenAI's own client, `@openai/agents-realtime`, in Chromium: unchanged, with only its base URL set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Page

from tests.support.browser import BrowserFactory, speech_48k, write_wav
from tests.support.clients import open_app, told
from tests.support.process import Service, serving

KEY = "open-sesame-open"


async def client_secret(service: Service, **wanted: Any) -> str:
    """Make one, as the app's backend does."""
    async with (
        aiohttp.ClientSession(service.url, headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post("/v1/realtime/client_secrets", json=wanted) as response,
    ):
        return str((await response.json())["value"])


@asynccontextmanager
async def page_of(chromium: BrowserFactory, microphone: Path, service: Service) -> AsyncIterator[Page]:
    async with chromium(microphone) as browser:
        page = await browser.new_page()
        await open_app(page, service.url, "openai")
        yield page


async def event(page: Page, kind: str, matches: Callable[[Any], bool] = lambda _event: True) -> Any:
    """Wait until the client got a server event of a type that matches."""
    async with asyncio.timeout(30):
        while True:
            for each in await page.evaluate("window.events"):
                if each["type"] == kind and matches(each):
                    return each
            await page.wait_for_timeout(50)


def says(words: str) -> Callable[[Any], bool]:
    return lambda event: words in str(event["response"]["output"])


def coded(code: str) -> Callable[[Any], bool]:
    """Match a server event's error; the client tells others of its own as text."""
    return lambda error: isinstance(error, dict) and error["code"] == code


async def test_it_talks_types_interrupts_and_runs_functions(chromium: BrowserFactory, tmp_path: Path) -> None:
    microphone = write_wav(tmp_path / "caller.wav", 2.0, speech_48k("what time is it"), 120.0)
    async with (
        serving("--port", "0", "--client-may-instruct", TALKSPURT_SERVER_KEY=KEY) as service,
        page_of(chromium, microphone, service) as page,
    ):
        call_id = await page.evaluate(
            "(key) => call(key, {instructions: 'Be brief.'})", await client_secret(service)
        )
        assert call_id.startswith("rtc_")

        await event(
            page, "conversation.item.input_audio_transcription.completed", lambda e: "time" in e["transcript"]
        )
        await event(page, "response.done", says("It is"))
        kinds = [each["type"] for each in await page.evaluate("window.events")]
        assert "input_audio_buffer.speech_started" in kinds
        assert "input_audio_buffer.speech_stopped" in kinds
        assert (await page.evaluate("inboundAudio()"))["totalAudioEnergy"] > 0
        roles = [item[0] for item in await page.evaluate("turns()")]
        assert roles[:2] == ["user", "assistant"]

        await page.evaluate('session.sendMessage(\'call add_up {"a": 2, "b": 3}\')')
        await event(page, "response.done", says("the sum is 5"))
        assert await page.evaluate("window.ran") == [{"a": 2, "b": 3}]
        assert await told(page, "agent_tool_end") == ["add_up", "the sum is 5"]

        await page.evaluate("session.sendMessage('tell me a long story')")
        await event(page, "response.output_audio_transcript.delta", lambda e: "once" in e["delta"].lower())
        await page.wait_for_timeout(500)
        await page.evaluate("session.interrupt()")
        done = await event(page, "response.done", lambda e: e["response"]["status"] == "cancelled")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        await event(page, "conversation.item.truncated")
        await event(page, "conversation.item.retrieved", lambda e: e["item"]["status"] == "incomplete")

        await page.evaluate("session.sendMessage('what is twelve plus thirty')")
        await event(page, "response.done", says("42"))
        history = await page.evaluate("turns()")
        assert "what is twelve plus thirty" in [item[-1] for item in history]
        assert (await page.evaluate("session.usage"))["totalTokens"] > 0
        assert [each for each in await page.evaluate("window.told") if each[0] == "error"] == []
        await page.evaluate("session.close()")


async def test_it_is_told_what_it_may_not_do_and_what_cannot_be_done(
    chromium: BrowserFactory, tmp_path: Path
) -> None:
    async with (
        serving("--port", "0", TALKSPURT_SERVER_KEY=KEY) as service,
        page_of(chromium, write_wav(tmp_path / "caller.wav", 120.0), service) as page,
    ):
        refused = await page.evaluate("call('ek_made-up').catch((error) => error.message)")
        assert "401" in refused
        assert "client secret was not made by this service" in refused

        token = await client_secret(service)
        await page.evaluate("(key) => call(key, {instructions: 'Be rude.'})", token)
        error = await told(page, "error", coded("not_allowed"))
        assert "instructions, tools" in error["message"]
        assert "client_may_instruct" in error["message"]
        await page.evaluate('session.sendMessage(\'call add_up {"a": 2, "b": 3}\')')
        await event(page, "response.done", lambda e: e["response"]["output"])
        assert await page.evaluate("window.ran") == []
        await page.evaluate("session.updateHistory([])")
        await told(page, "error", coded("item_delete_unsupported"))
        log = "\n".join(service.log)
        assert token not in log
        assert KEY not in log
