"""Any body from a stranger, in any charset, gets a 4xx that says why, and never a 500."""

from __future__ import annotations

from typing import Any

import aiohttp

from signaling.client.caller import call_service
from tests.support.service import ServiceFactory

CALLS = "/v1/realtime/calls"
TYPES = ("application/json", "application/sdp", "application/trickle-ice-sdpfrag")
BROKEN_FORMS = ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\u00fc")
FORM = "multipart/form-data; boundary=x"
NESTED = ("[" * 60_000, '{"text":' * 8_000, '{"text": ' + "[" * 900 + "]" * 900 + "}")
BODIES: tuple[bytes, ...] = (
    *(text.encode() for text in NESTED),
    b"\xff\xfe{\x00}\x00",
    '{"text": "é"}'.encode("latin-1"),
    '{"text": "\ud800"}'.encode(errors="surrogatepass"),
    b'{"text": 1e999}',
    b'{"text": ' + b"1" * 5000 + b"}",
    b"\x00" * 10,
)
CHARSETS = ("utf-8", "utf-16", "utf-7", "no-such-charset", "rot13", "base64", "\u00fc", "idna", "undefined", '"')


def part(name: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *headers])
    return b"--x\r\n" + head.encode("latin-1") + b"\r\n\r\n" + body + b"\r\n--x--\r\n"


FORMS = tuple(
    part(name, b"v=0", header)
    for name in ("sdp", "state", "content", "pictures")
    for header in (
        "Content-Type: text/plain; charset=no-such-charset",
        "Content-Transfer-Encoding: no-such-encoding",
        "Content-Transfer-Encoding: base64",
        "Content-Encoding: no-such-encoding",
        "Content-Encoding: gzip",
        "Content-Length: 99999999999",
        "Content-Length: x",
    )
) + tuple(part("state", body) for body in BODIES)


async def status(http: aiohttp.ClientSession, method: str, path: str, body: bytes, kind: str) -> int:
    headers = {"Content-Type": kind, "If-Match": '"x"'}
    async with http.request(method, path, data=body, headers=headers) as response:
        problem: dict[str, Any] = await response.json(content_type=None)
        assert problem["status"] == response.status
        return response.status


async def test_no_body_is_a_500(service: ServiceFactory) -> None:
    async with (
        service(client_may_instruct=True) as url,
        call_service(url) as caller,
        aiohttp.ClientSession(url) as http,
    ):
        await caller.message("bot-ready")
        call = "/" + str(caller.location).split("/", 3)[3]
        ways = (("POST", f"{call}/say"), ("POST", CALLS), ("PATCH", call), ("POST", f"{call}/pictures"))
        kinds = [f"{kind}; charset={charset}" for kind in (*TYPES, FORM) for charset in CHARSETS]
        tries = [(*way, body, kind) for way in ways for body in BODIES[:6] for kind in kinds]
        tries += [("POST", path, body, FORM) for _, path in ways for body in FORMS]
        tries += [("POST", path, b"--x", kind) for _, path in ways for kind in BROKEN_FORMS]
        for each in tries:
            assert 400 <= await status(http, *each) < 500, each
        for body in BODIES:
            assert await status(http, "POST", f"{call}/say", body, "application/json") in (400, 422)
