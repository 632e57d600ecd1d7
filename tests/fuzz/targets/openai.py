"""What clients of OpenAI's API send: events on the data channel, forms with an offer, and client secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from agent.errors import OfferError
from agent.settings import Settings
from agent.unicode import read_json
from signaling.dialects.channel import TextChannel
from signaling.dialects.openai.talk import _Talk
from signaling.http.client_secrets import read_ticket
from signaling.http.form import FORM_TYPE, read_form
from signaling.http.realtime_session import read_session_part, wish_of
from signaling.http.tickets import PREFIX, Ticket, Tickets
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import DATA, Take, Target, read_pieces
from tests.fuzz.targets.rtvi import Channel
from tests.fuzz.world import HeldCall, World, world

PART_BYTES = {"sdp": 64 << 10, "session": 64 << 10}
BOUNDARY = b"b0undary"


@contextmanager
def talking() -> Iterator[Take]:
    with world() as around:
        held, channel = HeldCall(around), Channel()
        held.call.client_may_instruct = True
        stub: Any = channel
        talk = around.run(begin(held, stub))

        def take(text: bytes) -> object:
            around.run(say(text.decode(errors="surrogateescape")))
            return held.check(), frozenset(channel.kinds)

        async def say(text: str) -> None:
            talk.message_came(text)

        yield take


async def begin(held: HeldCall, channel: Any) -> _Talk:
    talk = _Talk(held.leg, TextChannel(held.leg, channel))
    held.call.observe(talk.event_came)
    talk.begin()
    return talk


def events() -> list[Pieces]:
    (captured,) = (read_pieces(path.read_bytes(), "json") for path in DATA.glob("openai/agents-realtime-*.jsonl"))
    more: list[dict[str, Any]] = [
        {"type": "session.update", "session": {"audio": {"output": {"voice": "Kore"}}, "tools": []}},
        {
            "type": "session.update",
            "session": {"audio": {"input": {"turn_detection": None, "transcription": None}}},
        },
        {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 5},
        {"type": "input_audio_buffer.clear"},
        {"type": "input_audio_buffer.commit"},
        {"type": "response.create", "response": {"instructions": "Be brief."}},
    ]
    pieces = [*captured, *(json.dumps(event).encode() for event in more)]
    return [captured, pieces, *([piece] for piece in pieces)]


@contextmanager
def form() -> Iterator[Take]:
    with world((OfferError,)) as around:
        yield lambda body: around.run(parts_of(around, body))


async def parts_of(around: World, body: bytes) -> object:
    """Read a form, and the session in it."""
    stream = StreamReader(BaseProtocol(around.loop), 1 << 20, loop=around.loop)
    stream.feed_data(body)
    stream.feed_eof()
    headers = CIMultiDict({"Content-Type": f"{FORM_TYPE}; boundary={BOUNDARY.decode()}"})
    request: web.Request = make_mocked_request("POST", "/", headers, payload=stream)
    parts = await read_form(request, PART_BYTES)
    wish = read_session_part(parts["session"]) if "session" in parts else None
    return frozenset(parts), None if wish is None else tuple(wish.instructs())


def forms() -> list[Pieces]:
    session = json.dumps({"type": "realtime", "instructions": "Be brief.", "tools": [{"name": "f"}]}).encode()
    parts = [
        b'--b0undary\r\nContent-Disposition: form-data; name="sdp"\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n',
        b'--b0undary\r\nContent-Disposition: form-data; name="session"\r\n\r\n' + session + b"\r\n",
    ]
    return [[b"".join(parts) + b"--b0undary--\r\n"], [parts[0] + b"--b0undary--\r\n"], [b"--b0undary--\r\n"]]


TICKETS = Tickets(Settings.model_construct())


@contextmanager
def tokens() -> Iterator[Take]:
    yield lambda token: TICKETS.read(token.decode(errors="surrogateescape"), 5.0).ticket_id


def signed() -> list[Pieces]:
    small = Ticket("t1", 10)
    large = Ticket("t2", 10, "Ada", {"plan": "gold"}, {"type": "realtime", "instructions": "Be brief. " * 99})
    old = Ticket("t3", 4)
    return [[TICKETS.sign(each).encode()] for each in (small, large, old)] + [[PREFIX.encode()], [b"ek_.x.y"]]


@contextmanager
def secrets() -> Iterator[Take]:
    yield make


def make(text: bytes) -> object:
    """Make a client secret as its body asks, and read it again."""
    try:
        body = read_json(text)
    except ValueError:
        return "no JSON"
    if not isinstance(body, dict):
        return "no object"
    wish_of(body.get("session", {}))
    ticket = read_ticket(body, 5.0, "t1")
    assert TICKETS.read(TICKETS.sign(ticket), 6.0) == ticket
    return ticket.caller is None, len(ticket.metadata), len(ticket.session)


def bodies() -> list[Pieces]:
    body = {
        "expires_after": {"anchor": "created_at", "seconds": 60},
        "session": {"type": "realtime", "audio": {"output": {"voice": "Kore"}}},
        "caller": "Ada",
        "metadata": {"plan": "gold"},
    }
    return [[json.dumps(body).encode()], [b"{}"]]


TARGETS = [
    Target("openai", "json", talking, more=events, max_bytes=256 << 10, quick=300),
    Target("form", "bytes", form, expected=(OfferError,), more=forms, quick=100),
    Target("token", "bytes", tokens, expected=(OfferError,), more=signed, quick=1000),
    Target("secret", "json", secrets, expected=(OfferError,), more=bodies, quick=500),
]
