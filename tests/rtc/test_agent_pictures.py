"""Pictures made by the model reach the client: small ones in the event, all of them by HTTP."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest

from agent.call.drawn import MAX_KEPT, MAX_PICTURE_BYTES
from agent.emulator import Raw, Reply, Say, Turn, message
from signaling.dialects.rtvi import MAX_INLINE_PICTURE_BYTES
from tests.support.line import Line, on_line

SMALL = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
LARGE = b"\xff\xd8\xff" + bytes(300_000)


def picture(data: bytes, mime_type: str = "image/png") -> Raw:
    part = {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}
    return Raw(message("raw", {"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}}))


async def fetched(line: Line, data: dict[str, Any]) -> tuple[int, str, bytes]:
    assert line.caller.location is not None
    origin = line.caller.location.partition("/v1/")[0]
    async with aiohttp.ClientSession() as http, http.get(origin + data["path"]) as response:
        return response.status, response.content_type, await response.read()


def draw(_turn: Turn) -> Reply:
    return (
        picture(SMALL),
        picture(LARGE, "image/jpeg"),
        picture(b"<svg onload='alert(1)'/>", "image/svg+xml"),
        picture(bytes(MAX_PICTURE_BYTES + 1)),
        Say("Here they are."),
    )


async def test_a_picture_of_the_model_reaches_the_client() -> None:
    async with on_line(on_turn=draw) as line:
        line.caller.type("draw a house")
        first = await line.caller.message("server-message", lambda data: data.get("number") == 1)
        assert first["type"] == "agent-showed-picture"
        assert (first["mime_type"], first["bytes"]) == ("image/png", len(SMALL))
        assert base64.b64decode(first["data"]) == SMALL
        assert await fetched(line, first) == (200, "image/png", SMALL)
        second = await line.caller.message("server-message", lambda data: data.get("number") == 2)
        assert second["data"] is None
        assert second["bytes"] == len(LARGE) > MAX_INLINE_PICTURE_BYTES
        assert await fetched(line, second) == (200, "image/jpeg", LARGE)
        said = await line.caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert said["text"] == "Here they are."
        assert line.count("agent-showed-picture") == 2  # no program, and nothing without a bound
        info = await line.told("call-info")
        assert info["pictures"] == 2


async def test_old_pictures_are_kept_no_more() -> None:
    def many(_turn: Turn) -> Reply:
        return tuple(picture(SMALL + bytes([number])) for number in range(MAX_KEPT + 1))

    async with on_line(on_turn=many) as line:
        line.caller.type("draw five houses")
        last = await line.caller.message("server-message", lambda data: data.get("number") == MAX_KEPT + 1)
        assert (await fetched(line, last))[0] == 200
        status, kind, _body = await fetched(line, {"path": last["path"].replace(f"/{MAX_KEPT + 1}", "/1")})
        assert (status, kind) == (404, "application/problem+json")
        assert line.count("agent-fell-silent") == 0  # a picture is an answer


@pytest.mark.parametrize("number", ["0", "7", "x", "-1", "99999999999"])
async def test_there_is_no_other_picture(number: str) -> None:
    async with on_line(on_turn=draw) as line:
        line.caller.type("draw a house")
        first = await line.caller.message("server-message", lambda data: data.get("number") == 1)
        assert (await fetched(line, {"path": first["path"][:-1] + number}))[0] == 404
