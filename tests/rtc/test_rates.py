"""A client that floods its call gets error messages, and the call goes on."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from signaling.client.caller import Caller, call_service
from signaling.webrtc.rates import LIMITS
from tests.support.line import FAST, Line, on_line
from tests.support.pictures import blue_jpeg
from tests.support.service import ServiceFactory

TRUSTING = {"client_may_instruct": True, "vad": "off"}
PICTURE = base64.b64encode(blue_jpeg(32, 16)).decode()
FLOOD = 300
ANYTHING = sum(LIMITS["messages"]) + LIMITS["messages"][0] * 5  # that may pass in 5 s


def answers(caller: Caller) -> list[dict[str, Any]]:
    kinds = ("server-response", "error-response")
    return [
        message for message in caller.messages if message["type"] in kinds and message["id"].startswith("flood-")
    ]


async def flood(caller: Caller, kind: str, data: dict[str, Any]) -> list[str]:
    """Send a message many times; return the errors."""
    for number in range(FLOOD):
        caller.send(kind, data, message_id=f"flood-{number}")
    await caller.until(lambda: any(message.get("id") == f"flood-{FLOOD - 1}" for message in answers(caller)), 20)
    return [message["data"]["error"] for message in answers(caller) if message["type"] == "error-response"]


@pytest.mark.parametrize(
    ("t", "details", "kind"),
    [
        ("interrupt", {}, "messages"),
        ("activity-start", {}, "marks"),
        ("append-to-context", {"content": "note"}, "notes"),
        ("update-instructions", {"instructions": "Be brief."}, "notes"),
        ("say", {"text": "hello"}, "notes"),
        ("ask-about-pictures", {"content": "what is it", "pictures": [PICTURE] * 2}, "pictures"),
        ("describe", {"source": "camera"}, "pictures"),
        ("screenshot", {}, "pictures"),
        ("of no kind", {}, "messages"),
    ],
)
async def test_a_flood_of_requests_is_refused(t: str, details: dict[str, Any], kind: str) -> None:
    async with on_line(**FAST, settings=TRUSTING) as line:
        refusals = await flood(line.caller, "client-message", {"t": t, "d": details})
        assert any(f"too many {kind}" in each for each in refusals)
        assert any("try again in" in each for each in refusals)
        assert len(refusals) >= FLOOD - ANYTHING
        await still_there(line)


async def test_a_flood_of_typed_text_is_refused() -> None:
    async with on_line(**FAST) as line:
        for number in range(FLOOD):
            line.caller.send("send-text", {"content": f"hello {number}"}, message_id=f"flood-{number}")
        await line.caller.until(
            lambda: any(each["id"] == f"flood-{FLOOD - 1}" for each in answers(line.caller)), 20
        )
        assert "too many texts" in answers(line.caller)[0]["data"]["error"]
        (session,) = line.emulator.sessions
        typed = [text for text in session.texts if text.startswith("hello")]
        assert len(typed) <= sum(LIMITS["texts"]) + 5 * LIMITS["texts"][0]
        await still_there(line)


async def still_there(line: Line) -> None:
    """The call goes on, and says how much it has refused."""
    async with aiohttp.ClientSession() as http:
        async with http.get(str(line.caller.location)) as response:
            assert response.status == 200
        async with http.get(f"{line.url}metrics") as response:
            metrics = await response.text()
    (refused,) = [text for text in metrics.splitlines() if text.startswith("talkspurt_messages_refused_total")]
    assert float(refused.split()[1]) >= FLOOD - ANYTHING


async def test_what_cannot_be_read_counts_too(service: ServiceFactory) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        for number in range(FLOOD):
            caller.send_text(json.dumps({"label": "other", "id": f"flood-{number}"}))
        await caller.until(lambda: len(answers(caller)) >= FLOOD - ANYTHING, 20)
        assert all("too many messages" in message["data"]["error"] for message in answers(caller))


def form() -> dict[str, Any]:
    fields = aiohttp.FormData(default_to_multipart=True)
    fields.add_field("pictures", blue_jpeg(32, 16), filename="a.jpg", content_type="image/jpeg")
    fields.add_field("content", "what do you see")
    return {"data": fields}


@pytest.mark.parametrize(
    ("path", "body", "together"), [("say", lambda: {"json": {"text": "hello"}}, 100), ("pictures", form, 1)]
)
async def test_by_http_it_is_429_with_the_time_to_wait(
    path: str, body: Callable[[], dict[str, Any]], together: int
) -> None:
    async with on_line(**FAST, settings=TRUSTING) as line, aiohttp.ClientSession() as http:

        async def post() -> tuple[int, dict[str, Any], str | None]:
            async with http.post(f"{line.caller.location}/{path}", **body()) as response:
                told: dict[str, Any] = await response.json(content_type=None)
                return response.status, told, response.headers.get("Retry-After")

        taken = 0
        while True:
            got = await asyncio.gather(*(post() for _ in range(together)))
            taken += sum(status in (200, 202) for status, _, _ in got)
            refused = [each for each in got if each[0] not in (200, 202)]
            if refused:
                break
        status, problem, retry_after = refused[0]
        assert (status, problem["error"]["code"]) == (429, "too_fast")
        assert int(retry_after or 0) >= 1
        assert 10 < taken < 100
