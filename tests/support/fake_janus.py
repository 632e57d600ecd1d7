"""A gateway that speaks Janus's WebSocket protocol and does what a test wants; no telephone behind it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from aiortc import RTCPeerConnection, RTCRtpSender

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the plugin."""

    handle: int
    body: Json
    jsep: Json | None


@dataclass(eq=False)
class FakeJanus:
    """One gateway; see `fake_janus`.

    Attributes:
        url: of its WebSocket.
        secret: what it wants as ``apisecret``.
        registration: the result of the next registrations.
        mute: answers nothing, as a dead network does.
        refuse: plugin requests that are answered by this error code.
        requests: what was asked, in order.
        handles: attached ones, in order.
    """

    url: str = ""
    secret: str = "fake-secret"
    registration: Json = field(default_factory=lambda: {"event": "registered", "master_id": 7})
    mute: bool = False
    refuse: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    keepalives: int = 0
    connections: int = 0
    _sockets: list[web.WebSocketResponse] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1000))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def asked(self, request: str) -> list[Request]:
        """Return the requests of a name."""
        return [each for each in self.requests if each.body.get("request") == request]

    async def until(self, found: Callable[[], Any], timeout_s: float = 5.0) -> Any:
        """Wait until ``found()`` is true, looking after each message; return its value."""
        async with asyncio.timeout(timeout_s):
            while not (value := found()):
                self._changed.clear()
                await self._changed.wait()
            return value

    async def tell(self, handle: int, result: Json, *, sdp: str | None = None, sdp_type: str = "offer") -> None:
        """Send an event of the plugin that nobody asked for."""
        data = {"plugin": "janus.plugin.sip", "data": {"sip": "event", "result": result}}
        message: Json = {"janus": "event", "sender": handle, "plugindata": data}
        if sdp is not None:
            message["jsep"] = {"type": sdp_type, "sdp": sdp}
        await self.send(message)

    async def send(self, message: Json | str) -> None:
        """Send anything to the newest client."""
        await self._sockets[-1].send_str(message if isinstance(message, str) else json.dumps(message))

    async def ring(self, handle: int, offer: str | None, **more: Any) -> None:
        """Have a telephone call."""
        result = {
            "event": "incomingcall",
            "username": "sip:+15550001@carrier.example",
            "displayname": '"Ann"',
            "callee": "sip:agent@agent.local",
            **more,
        }
        await self.tell(handle, result, sdp=offer)

    async def drop(self) -> None:
        """Close every connection without a word."""
        for socket in self._sockets:
            transport = socket._req.transport if socket._req is not None else None
            if transport is not None:
                transport.abort()
        self._sockets.clear()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk to one client."""
        socket = web.WebSocketResponse(protocols=("janus-protocol",))
        await socket.prepare(request)
        assert socket.ws_protocol == "janus-protocol"
        self.connections += 1
        self._sockets.append(socket)
        async for frame in socket:
            if frame.type is WSMsgType.TEXT and not self.mute:
                for answer in self._answers(json.loads(frame.data)):
                    await socket.send_json(answer)
            self._changed.set()
        return socket

    def _answers(self, message: Json) -> list[Json]:
        same = {"transaction": message["transaction"]}
        if message.get("apisecret") != self.secret:
            return [{"janus": "error", **same, "error": {"code": 403, "reason": "Unauthorized request"}}]
        match message["janus"]:
            case "create":
                return [{"janus": "success", **same, "data": {"id": next(self._ids)}}]
            case "attach":
                self.handles.append(next(self._ids))
                return [{"janus": "success", **same, "data": {"id": self.handles[-1]}}]
            case "keepalive":
                self.keepalives += 1
                return [{"janus": "ack", **same}]
            case "message":
                return [{"janus": "ack", **same}, *self._plugin(message)]
        raise AssertionError(message)

    def _plugin(self, message: Json) -> list[Json]:
        handle, body = message["handle_id"], message["body"]
        self.requests.append(Request(handle, body, message.get("jsep")))
        name = body["request"]
        if name in self.refuse:
            data: Json = {"sip": "event", "error_code": self.refuse[name], "error": "refused by the test"}
            return [_event(handle, data, message["transaction"])]
        first = {"register": "registering", "accept": "accepted", "call": "calling", "hangup": "hangingup"}
        if body.get("type") in ("helper", "guest"):
            return [_event(handle, _result({"event": "registered", "master_id": 7}), message["transaction"])]
        answers = [_event(handle, _result({"event": first.get(name, f"{name}ing")}), message["transaction"])]
        if name == "register":
            answers.append(_event(handle, _result(self.registration)))
        if name in ("hangup", "decline"):
            answers.append(
                _event(handle, _result({"event": "hangup", "code": 200, "reason": "Session Terminated"}))
            )
            answers.append({"janus": "hangup", "sender": handle, "reason": "Close PC"})
        return answers


def _result(result: Json) -> Json:
    return {"sip": "event", "result": result}


def _event(handle: int, data: Json, transaction: str | None = None) -> Json:
    event: Json = {"janus": "event", "sender": handle, "plugindata": {"plugin": "janus.plugin.sip", "data": data}}
    return event if transaction is None else {**event, "transaction": transaction}


@asynccontextmanager
async def fake_janus(port: int = 0) -> AsyncIterator[FakeJanus]:
    """Run a gateway on loopback."""
    fake = FakeJanus()
    app = web.Application()
    app.add_routes([web.get("/", fake.serve)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await fake.drop()
        await runner.cleanup()


@asynccontextmanager
async def telephone(codec: str = "PCMU") -> AsyncIterator[tuple[RTCPeerConnection, str]]:
    """What the gateway offers for a telephone: a peer connection and its SDP."""
    pc = RTCPeerConnection()
    transceiver = pc.addTransceiver("audio", direction="sendrecv")
    wanted = [each for each in RTCRtpSender.getCapabilities("audio").codecs if each.mimeType == f"audio/{codec}"]
    transceiver.setCodecPreferences(wanted)
    await pc.setLocalDescription(await pc.createOffer())
    try:
        yield pc, pc.localDescription.sdp
    finally:
        await pc.close()
