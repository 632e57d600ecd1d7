"""Messages of the telephone gateway: to the connection, the line, and its calls.

A message may name the transaction that waits for it as ``@``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.errors import GatewayError
from agent.settings import Settings
from signaling.phone.janus import MAX_MESSAGE_BYTES, Janus
from signaling.phone.sip_line import SipLine
from signaling.webrtc.offered import read_offer
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import DATA, Take, Target
from tests.fuzz.world import HeldCall, World, world

SETTINGS = Settings.model_construct(janus_url="ws://127.0.0.1:1", sip_lines=2)
OFFER = (DATA / "offers" / "janus_sip.sdp").read_text()


class Socket:
    """Stands for the WebSocket to the gateway, and remembers which transactions wait."""

    def __init__(self) -> None:
        self.waiting = ["none"]

    async def send_json(self, message: Any) -> None:
        self.waiting.append(json.loads(json.dumps(message))["transaction"])


class Negotiator:
    """Takes offers as the real one does, into a call that runs already."""

    def __init__(self, around: World) -> None:
        self._call = HeldCall(around).call
        self.accepted = 0

    async def accept_gateways_offer(self, offer: str, _extra: Any, make_leg: Any) -> tuple[str, Any]:
        read_offer(offer)
        self.accepted += 1
        return "v=0\r\n", make_leg(self._call, None)


@contextmanager
def fresh() -> Iterator[Take]:
    with world(expected=(GatewayError,)) as around:
        socket, negotiator = Socket(), Negotiator(around)
        janus, line = around.run(begin(around, socket, negotiator))
        around.settle()

        def take(text: bytes) -> object:
            said = text.decode(errors="replace")
            around.run(tell(said.replace('"@"', f'"{socket.waiting[-1]}"')))
            around.settle()
            return line.outage is None, len(socket.waiting), negotiator.accepted, janus.lost.is_set()

        async def tell(said: str) -> None:
            janus._take(said)

        yield take


async def begin(around: World, socket: Any, negotiator: Any) -> tuple[Janus, SipLine]:
    janus, line = Janus(socket, None), SipLine(SETTINGS, negotiator)
    around.start(line._hold(janus))
    return janus, line


def session() -> list[Pieces]:
    def of_plugin(result: dict[str, Any], **more: Any) -> dict[str, Any]:
        data = {"sip": "event", "result": result}
        plugin = {"plugin": "janus.plugin.sip", "data": data}
        return {"janus": "event", "sender": 7, "session_id": 1, "plugindata": plugin, **more}

    attached = {"janus": "success", "transaction": "@", "data": {"id": 7}}
    registered = of_plugin({"event": "registered", "username": "sip:a@b", "master_id": 3})
    ringing = {"event": "incomingcall", "username": "sip:+1@b", "displayname": '"Ann"', "headers": {"X-A": "1"}}
    later: list[dict[str, Any]] = [
        {"event": "progress"},
        {"event": "ringing"},
        {"event": "accepted"},
        {"event": "info", "type": "application/dtmf-relay", "content": "Signal=5\r\nDuration=160"},
        {"event": "notify", "content": "SIP/2.0 200 OK"},
        {"event": "transfer", "refer_id": 4, "refer_to": "sip:x@y"},
        {"event": "missed_call", "caller": "sip:x@y"},
        {"event": "registration_failed", "code": 401, "reason": "no"},
        {"event": "hangup", "code": 200, "reason": "BYE"},
    ]
    refused = {
        "janus": "event",
        "sender": 7,
        "transaction": "@",
        "plugindata": {"data": {"error_code": 446, "error": "no"}},
    }
    messages = [
        attached,
        of_plugin({"event": "registering"}, transaction="@"),
        registered,
        {"janus": "success", "transaction": "@", "data": {"id": 8}},
        of_plugin({"event": "registered"}, transaction="@"),
        of_plugin(ringing, jsep={"type": "offer", "sdp": OFFER}),
        of_plugin({"event": "accepting"}, transaction="@"),
        *(of_plugin(each) for each in later),
        {"janus": "webrtcup", "sender": 7},
        {"janus": "hangup", "sender": 7, "reason": "DTLS alert"},
        refused,
        {"janus": "error", "transaction": "@", "error": {"code": 458, "reason": "no such session"}},
        {"janus": "ack", "transaction": "@"},
        {"janus": "detached", "sender": 7},
        {"janus": "timeout", "session_id": 1},
    ]
    return [[json.dumps(message).encode() for message in messages]]


TARGET = Target("janus", "json", fresh, more=session, max_bytes=MAX_MESSAGE_BYTES, quick=100)
