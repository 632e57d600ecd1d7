"""The agent is made to say something from outside its call, only by those who may."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from signaling.client.caller import Caller, call_service
from tests.support.line import TRUSTING
from tests.support.service import ServiceFactory

KEY = "a-key-of-the-server"
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def post(address: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", **(headers or {})}
    async with aiohttp.ClientSession() as http, http.post(address, data=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def says(caller: Caller, text: str) -> None:
    said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
    assert said["text"] == text


async def test_with_the_key_the_agent_says_it(service: ServiceFactory) -> None:
    async with service(server_key=KEY) as url, call_service(url, key=KEY) as caller:
        await caller.message("bot-ready")
        address = f"{caller.location}/say"
        assert await post(address, '{"text": "Your taxi is here."}', HEADERS) == (202, {})
        await says(caller, "Your taxi is here.")
        assert abs(caller.heard_pcm()).max() > 1000
        assert not any(message["type"] == "user-transcription" for message in caller.messages)
        for headers in ({}, {"Authorization": "Bearer another-key"}):
            assert (await post(address, '{"text": "Boo."}', headers))[0] == 401
        unknown = f"{url}v1/realtime/calls/rtc_x/say"
        assert (await post(unknown, '{"text": "Boo."}', HEADERS))[0] == 404
        assert (await post(address.replace("/v1/realtime/calls/", "/whip/"), '{"text": "And?"}', HEADERS))[0] == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("[]", 400),
        ("{", 400),
        (b"\xff", 400),
        ("[" * 60_000, 400),
        ("{}", 422),
        ('{"text": " "}', 422),
        ('{"text": 7}', 422),
        ('{"text": "' + "x" * 17_000 + '"}', 422),
        ('{"text": "' + "x" * 70_000 + '"}', 413),
    ],
)
async def test_what_cannot_be_said_is_refused(service: ServiceFactory, body: Any, status: int) -> None:
    async with service(**TRUSTING) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        got, problem = await post(f"{caller.location}/say", body)
        assert (got, problem["status"]) == (status, status)
        assert "bot-llm-started" not in [message["type"] for message in caller.messages]


async def test_without_a_key_it_takes_the_setting(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        status, problem = await post(f"{caller.location}/say", '{"text": "Boo."}')
        assert (status, problem["error"]["code"]) == (403, "not_allowed")
        caller.send("client-message", {"t": "say", "d": {"text": "Boo."}})
        assert "client_may_instruct" in (await caller.message("error-response"))["error"]
    async with service(**TRUSTING) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        assert (await post(f"{caller.location}/say", '{"text": "Welcome."}'))[0] == 202
        await says(caller, "Welcome.")


async def test_over_the_data_channel(service: ServiceFactory) -> None:
    async with service(**TRUSTING) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.send("client-message", {"t": "say", "d": {}}, message_id="1")
        assert "text" in (await caller.message("error-response"))["error"]
        caller.send("client-message", {"t": "say", "d": {"text": "Welcome."}}, message_id="2")
        assert (await caller.message("server-response"))["t"] == "say"
        await says(caller, "Welcome.")
