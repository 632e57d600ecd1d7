"""Pictures too large for the data channel go to the call's URL, and none is lost silently."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from agent.emulator import Emulator, HookedSession, Hooks, Moment
from agent.media.still import MAX_STILL_BYTES
from signaling.client.caller import Caller, call_service
from signaling.http.pictures import MAX_FORM_BYTES
from tests.support.line import FAST, on_line, says, transcribed
from tests.support.pictures import blue_jpeg
from tests.support.service import ServiceFactory

QUESTION = "what do you see"


def padded(size_bytes: int) -> bytes:
    """Return a JPEG padded to that length; a decoder stops at its end marker."""
    picture = blue_jpeg(96, 48)
    return picture + bytes(size_bytes - len(picture))


def form(*pictures: bytes, content: str | None = QUESTION, name: str = "pictures") -> aiohttp.FormData:
    fields = aiohttp.FormData(default_to_multipart=True)
    for picture in pictures:
        fields.add_field(name, io.BytesIO(picture), filename="picture.jpg", content_type="image/jpeg")
    if content is not None:
        fields.add_field("content", content)
    return fields


async def upload(caller: Caller, body: Any, **options: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the answer."""
    url = f"{caller.location}/pictures"
    async with aiohttp.ClientSession() as http, http.post(url, data=body, **options) as response:
        told: dict[str, Any] = await response.json(content_type=None)
        return response.status, told


@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-3.1-flash-live-preview"])
async def test_pictures_of_the_largest_size_reach_the_model(model: str) -> None:
    large = padded(MAX_STILL_BYTES)
    async with on_line(**FAST, settings={"model": model}) as line:
        status, told = await upload(line.caller, form(blue_jpeg(64, 48), large))
        assert status == 200
        assert told["pictures"][1] == {
            "mime_type": "image/jpeg",
            "width": 96,
            "height": 48,
            "bytes": MAX_STILL_BYTES,
        }
        await says(line.caller, "I received a picture of 96 by 48 pixels. I have 2 pictures so far.")
        assert transcribed(line.caller)[-1]["text"] == QUESTION
        if model.endswith("live"):
            (content,) = line.emulator.sessions[0].contents
            assert content.pictures[1].data == large


@asynccontextmanager
async def on_call(service: ServiceFactory, **settings: Any) -> AsyncIterator[Caller]:
    async with service(**settings) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        yield caller


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (lambda: form(padded(MAX_STILL_BYTES + 1)), 413, "4 MiB"),
        (lambda: form(*[padded(3 << 20)] * 3), 413, "8 MiB"),
        (lambda: form(*[blue_jpeg(64, 48)] * 9), 413, "8 pictures"),
        (lambda: form(b"GIF89a"), 415, "JPEG nor a PNG"),
        (lambda: form(blue_jpeg(64, 48), content=None), 400, "Content must be"),
        (lambda: form(blue_jpeg(64, 48), content=" "), 400, "Content must be"),
        (lambda: form(blue_jpeg(64, 48), content="x" * 17_000), 400, "longer"),
        (lambda: form(content=QUESTION), 400, "at least one"),
        (lambda: form(blue_jpeg(64, 48), name="picture"), 400, "content and pictures"),
        (lambda: b"--x\r\nnonsense", 400, "multipart"),
        (lambda: b"", 400, "multipart"),
        (lambda: b'--x\r\nContent-Disposition: form-data; name="content"\r\n\r\nhello', 400, "multipart"),
        (
            lambda: b'--x\r\nContent-Disposition: form-data; name="content"\r\n\r\n\xff\r\n--x--\r\n',
            400,
            "one file",
        ),
    ],
)
async def test_what_cannot_be_shown_is_refused_in_words(
    service: ServiceFactory, emulator: Emulator, body: Any, status: int, why: str
) -> None:
    async with on_call(service) as caller:
        made = body()
        options = (
            {}
            if isinstance(made, aiohttp.FormData)
            else {"headers": {"Content-Type": "multipart/form-data; boundary=x"}}
        )
        refused, told = await upload(caller, made, **options)
        assert (refused, told["status"]) == (status, status)
        assert why in told["detail"]
        assert transcribed(caller) == []
        assert not set(emulator.sessions[0].received) & {"Text", "Content", "Picture"}


async def test_a_body_that_says_it_is_too_long_is_not_read(service: ServiceFactory) -> None:
    async with on_call(service) as caller:
        status, told = await upload(caller, form(padded(MAX_FORM_BYTES)))
        assert (status, told["error"]["code"]) == (413, "too_large")


async def test_it_wants_the_same_key_as_the_call(service: ServiceFactory) -> None:
    key = "sixteen-letters-"
    async with service(server_key=key) as url, call_service(url, key=key) as caller:
        await caller.message("bot-ready")
        assert (await upload(caller, form(blue_jpeg(64, 48))))[0] == 401
        headers = {"Authorization": f"Bearer {key}"}
        assert (await upload(caller, form(blue_jpeg(64, 48)), headers=headers))[0] == 200
        assert (await upload(caller, {"content": QUESTION}, headers=headers))[0] == 415
        caller.location = f"{url}v1/realtime/calls/rtc_unknown"
        assert (await upload(caller, form(blue_jpeg(64, 48)), headers=headers))[0] == 404


class Stuck(Hooks):
    """A server that takes the set-up and then reads nothing for a while."""

    goes_on: asyncio.Event

    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.MESSAGE_RECEIVED and session.record.contents:
            await self.goes_on.wait()


async def test_pictures_do_not_pile_up_for_a_server_that_does_not_read() -> None:
    Stuck.goes_on = asyncio.Event()
    async with on_line(**FAST, hooks=Stuck) as line:
        statuses = [(await upload(line.caller, form(padded(MAX_STILL_BYTES))))[0] for _ in range(12)]
        Stuck.goes_on.set()
        assert statuses[:3] == [200, 200, 200]
        assert statuses[-1] == 503
        assert len(transcribed(line.caller)) <= statuses.count(200)


@pytest.mark.parametrize("id_first", [True, False])
async def test_a_message_that_is_too_long_is_answered(service: ServiceFactory, id_first: bool) -> None:
    picture = base64.b64encode(padded(60_000)).decode()
    details = f'"data": {{"t": "ask-about-pictures", "d": {{"content": "x", "pictures": ["{picture}"]}}}}'
    rest = '"label": "rtvi-ai", "type": "client-message"'
    text = ", ".join(['"id": "7"', rest, details] if id_first else [rest, details, '"id": "7"'])
    async with on_call(service) as caller:
        caller.send_text(f"{{{text}}}")
        refused = await caller.message("error-response")
        assert "65536 characters" in refused["error"]
        assert f"{caller.location}/pictures".endswith(refused["error"].rpartition(" ")[2])
        assert next(each["id"] for each in caller.messages if each["type"] == "error-response") == "7"
        caller.type("what is twelve plus thirty")
        await says(caller, "42")
