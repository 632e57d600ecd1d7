"""A second way in for telephones: a carrier's media stream over a WebSocket, as Twilio's Media Streams have it.

The carrier connects to ``/twilio`` and sends JSON texts: ``connected``, ``start``, then ``media`` (20 ms of 8 kHz
mu-law in base64) and ``dtmf``, at last ``stop``. It is sent ``media``, ``clear`` when the agent is interrupted, and
``mark``, which comes back when what was sent before it has been played. Closing the socket gives the phone back.
Source: Twilio's description of the WebSocket messages of bidirectional streams. Other carriers speak the same.

A chunk that is missing is made up for by the timestamps of the others; what comes twice, or too late, is dropped. A
stream of another format is refused with a sentence in the close frame.

Silence is not sent: what the carrier has not played yet because the network stood still would stay in its buffer
for the rest of the call. So the delay is back to nothing after each pause of the agent.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from aiortc.mediastreams import MediaStreamError

from agent import events
from agent.call.call import Call
from agent.clock import monotonic
from agent.errors import ConfigError, GatewayError, OfferError
from agent.media.dtmf import KEYS
from agent.media.inbound import Ear, PacketInlet
from agent.media.rtp import RtpPacket
from agent.settings import Settings
from agent.unicode import read_json
from signaling.http.origins import origins_of
from signaling.phone.telephone import Line, phone_tools
from signaling.webrtc.calls import Calls, Leg
from signaling.webrtc.offer import Door, Extra
from signaling.webrtc.pending import Slot

logger = logging.getLogger(__name__)

PATH = "/twilio"
START_TIMEOUT_S = 10.0
PLAYED_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 1.0
MAX_MESSAGE_BYTES = 64 << 10
MAX_REASON_BYTES = 123  # of a close frame, RFC 6455 section 5.5
MAX_NUMBER_DIGITS = 15
MAX_LEAD_S = 2.0
MOST_LATE_IN_A_ROW = 10
PCMU_PAYLOAD = 0
TICKS_PER_MS = 8
MULAW = ("audio/x-mulaw", "audio/mulaw", "mulaw", "ulaw", "audio/pcmu", "pcmu")


class Chunks:
    """Where a carrier's chunks belong in time. Pure.

    ``chunk`` counts them, ``timestamp`` tells milliseconds since the stream began. Either may be missing, and not
    every carrier means by them what Twilio does: numbers that stand still, or that time cannot explain, are not
    believed any more.
    """

    def __init__(self) -> None:
        self._numbered = self._timed = True
        self._chunk = self._at_ms = -1  # of the newest
        self._late_in_a_row = 0
        self._began_ms: int | None = None
        self._began_at = 0.0
        self._end_ticks = 0  # of the newest chunk

    def place(self, media: Mapping[str, Any], ticks: int, now: float) -> int | None:
        """Return when a chunk begins, in ticks of 8 kHz; None if it is to be dropped.

        Args:
            media: what the message says of it: untrusted.
            ticks: its length.
            now: monotonic seconds.
        """
        chunk, at_ms = _number(media.get("chunk")), _number(media.get("timestamp"))
        if self._numbered and self._is_late(chunk, at_ms):
            self._late_in_a_row += 1
            self._numbered = self._late_in_a_row < MOST_LATE_IN_A_ROW
            if self._numbered:
                return None
        self._late_in_a_row = 0
        begin = self._end_ticks
        if at_ms is not None and self._timed and at_ms > self._at_ms:
            if self._began_ms is None:
                self._began_ms, self._began_at = at_ms - begin // TICKS_PER_MS, now
            self._timed = (at_ms - self._began_ms) / 1000 - (now - self._began_at) <= MAX_LEAD_S
            if self._timed:
                begin = (at_ms - self._began_ms) * TICKS_PER_MS
        self._chunk = self._chunk if chunk is None else chunk
        self._at_ms = self._at_ms if at_ms is None else max(at_ms, self._at_ms)
        self._end_ticks = begin + ticks
        return begin

    def _is_late(self, chunk: int | None, at_ms: int | None) -> bool:
        by_chunk = None if chunk is None else chunk <= self._chunk
        by_time = None if at_ms is None else at_ms <= self._at_ms
        told = [late for late in (by_chunk, by_time) if late is not None]
        return bool(told) and all(told)


class Stream:
    """One call on one WebSocket; a `phone.Phone`."""

    def __init__(self, socket: web.WebSocketResponse, start: Mapping[str, Any]) -> None:
        self.line = _line(start)
        self.leg: Leg | None = None
        self.heard_at = monotonic()
        self._socket = socket
        self._stream_sid = str(start.get("streamSid", ""))
        self._inlet = PacketInlet({PCMU_PAYLOAD: "pcmu"})
        self._chunks = Chunks()
        self._packets = 0
        self._speaking = False
        self._cut = False  # the carrier is to throw away what it has
        self._mark_due = False
        self._sent_marks = self._played_marks = 0
        self._said_goodbye = False
        self._note = asyncio.Event()  # a mark came back

    def extra(self) -> Extra:
        """Return what the agent has besides on this call."""
        tools = phone_tools(self, self._call)
        return Extra(tools, self.line.instruction(), self.line.caller, telephone=True)

    def begin(self, leg: Leg) -> None:
        """Belong to a call that is about to start."""
        self.leg = leg
        leg.call.voice.use_codec("PCMU")
        leg.call.observe(self._observe)
        leg.last_words.append(self._close)

    def ear(self, call: Call) -> Ear:
        """Return where the caller is heard."""
        inlet = self._inlet
        return Ear(lambda: inlet.listen(monotonic, call.hear), True, inlet.stats, lambda: inlet.reorder_stats)

    def end(self) -> None:
        """Have the agent hang up."""
        self._said_goodbye = True
        self._call().hang_up("hung_up", "The agent hung up.", "agent")

    def closed(self) -> None:
        """Note that the carrier is gone."""
        self._call().hang_up("caller_left", "The carrier closed the connection.", "caller")

    async def send_keys(self, keys: str) -> None:
        """Not possible on a media stream."""
        raise GatewayError("this carrier's media stream cannot press keys")

    async def transfer(self, target: str) -> None:
        """Not possible on a media stream."""
        raise GatewayError("this carrier's media stream cannot transfer")

    def take(self, message: Mapping[str, Any]) -> None:
        """Take what the carrier says: untrusted."""
        call = self._call()
        self.heard_at = monotonic()
        match message.get("event"):
            case "media":
                media = _object(message, "media")
                if media.get("track", "inbound") == "inbound":
                    self._hear(call, media)
            case "dtmf":
                key = str(_object(message, "dtmf").get("digit", "")).upper()
                if len(key) == 1 and key in KEYS:
                    call.press(key)
            case "mark":
                self._played_marks += 1
                self._note.set()
            case "stop":
                call.hang_up("hung_up", "The phone hung up.", "caller")

    async def speak(self) -> None:
        """Send the agent's voice while it speaks; ends with the call, or with the socket."""
        voice = self._call().voice
        try:
            while True:
                packet = await voice.recv()
                if self._cut:
                    self._cut = self._mark_due = False
                    await self._send("clear")
                if self._speaking:
                    await self._send("media", media={"payload": base64.b64encode(bytes(packet)).decode()})
                elif self._mark_due:
                    self._mark_due = False
                    self._sent_marks += 1
                    await self._send("mark", mark={"name": str(self._sent_marks)})
        except (MediaStreamError, ConnectionError):
            return

    async def watch(self, silent_s: float) -> None:
        """End the call when the carrier has said nothing for so long; ends then, or when cancelled."""
        self._call().media_flows()
        rest_s = silent_s
        while rest_s > 0:
            await asyncio.sleep(rest_s)
            rest_s = self.heard_at + silent_s - monotonic()
        self._call().hang_up("ice_lost", "The connection to the carrier was lost.", "network")

    def _call(self) -> Call:
        assert self.leg is not None, "the tools run in a call"
        return self.leg.call

    def _hear(self, call: Call, media: Mapping[str, Any]) -> None:
        """Hand on what the caller says."""
        try:
            ulaw = base64.b64decode(str(media.get("payload", "")), validate=True)
        except (binascii.Error, ValueError):
            logger.debug("call %s: media that is not base64 is passed over", call.call_id)
            return
        now = monotonic()
        begin = self._chunks.place(media, len(ulaw), now)
        if begin is None:
            self._inlet.reorder_stats.late += 1
            return
        # What is missing will not come: the socket keeps the order. So the number is ours, and nothing waits.
        packet = RtpPacket(PCMU_PAYLOAD, 0, self._packets & 0xFFFF, begin & 0xFFFFFFFF, 0, ulaw)
        self._packets += 1
        for pcm in self._inlet.push(packet, now):
            call.hear(pcm)

    def _observe(self, event: events.Event) -> None:
        match event:
            case events.AgentStartedSpeaking():
                self._speaking = True
            case events.AgentStoppedSpeaking():
                self._speaking, self._mark_due = False, True
            case events.AgentInterrupted():
                self._cut = True

    async def _send(self, event: str, **more: Any) -> None:
        await self._socket.send_json({"event": event, "streamSid": self._stream_sid, **more})

    async def _close(self) -> None:
        """Give the telephone back to the carrier, once it has played the agent's goodbye."""
        if self._said_goodbye:
            with suppress(TimeoutError):
                async with asyncio.timeout(PLAYED_TIMEOUT_S):
                    while self._played_marks < self._sent_marks and not self._socket.closed:
                        self._note.clear()
                        await self._note.wait()
        await self._socket.close()


def routes(settings: Settings, door: Door, calls: Calls) -> list[web.RouteDef]:
    """Return the route of the media streams; none without the carrier's token.

    Raises:
        ConfigError: the service would take a signature for any URL, whatever host that names.
    """
    if settings.twilio_auth_token is None:
        return []
    if settings.twilio_url is None and origins_of(settings).hosts is None:
        raise ConfigError(
            f"{settings.source('twilio_auth_token')}: set twilio_url to the URL of /twilio as the carrier knows "
            "it, or name this service in allowed_hosts; else a signature for another of your services is good here"
        )
    token = settings.twilio_auth_token.get_secret_value()

    async def serve(request: web.Request) -> web.StreamResponse:
        _check_signature(request, settings.twilio_url, token)
        calls.check_budget(None)
        with calls.slot(None, bounded=False) as slot:
            socket, stream = await begin(request, slot)
        if stream is not None:
            await _converse(socket, stream)
            stream.closed()
        return socket

    async def begin(request: web.Request, slot: Slot) -> tuple[web.WebSocketResponse, Stream | None]:
        """Start the call of a carrier's stream; None if there is none to be had."""
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, timeout=CLOSE_TIMEOUT_S)
        await socket.prepare(request)
        start = await _start(socket)
        if start is None or calls.draining:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return socket, None
        refusal = _refusal(start)
        if refusal is not None:
            logger.warning("a carrier's stream was refused: %s", refusal)
            reason = refusal.encode()[:MAX_REASON_BYTES]
            await socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=reason)
            return socket, None
        stream = Stream(socket, start)
        call = door.new_call(stream.extra())
        leg = Leg(call, None, stream.ear(call), ufrags=frozenset(), etag="", wants_events=False)
        leg.watch = partial(stream.watch, settings.ice_grace_s)
        leg.phone = {"direction": "inbound", "caller": stream.line.caller, "callee": stream.line.callee}
        stream.begin(leg)
        calls.start(leg, slot)
        return socket, stream

    return [web.get(PATH, serve)]


async def _converse(socket: web.WebSocketResponse, stream: Stream) -> None:
    """Carry the call; ends with the socket."""
    speaking = asyncio.create_task(stream.speak(), name="carrier-speak")
    try:
        async for frame in socket:
            message = _parse(frame)
            if message is not None:
                stream.take(message)
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def _start(socket: web.WebSocketResponse) -> Mapping[str, Any] | None:
    """Return what the carrier says of the call; None if it says nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_TIMEOUT_S):
            async for frame in socket:
                message = _parse(frame)
                if message is not None and message.get("event") == "start":
                    return {"streamSid": message.get("streamSid", ""), **_object(message, "start")}
    return None


def _refusal(start: Mapping[str, Any]) -> str | None:
    """Return why a stream's format cannot be taken, None if it can: in ASCII, for the close frame."""
    form = start.get("mediaFormat", start.get("media_format"))
    if form is None:
        return None
    encoding = rate_hz = channels = None
    if isinstance(form, dict):
        encoding, channels = form.get("encoding"), form.get("channels", 1)
        rate_hz = form.get("sampleRate", form.get("sample_rate", 8000))
        if str(encoding).lower() in MULAW and str(rate_hz) == "8000" and str(channels) == "1":
            return None
    given = ", ".join(ascii(str(part))[1:-1][:24] for part in (encoding, rate_hz, channels))
    return f"mediaFormat {given} cannot be taken: send audio/x-mulaw, 8000 Hz, 1 channel"


def _number(value: Any) -> int | None:
    """Return a count that is sent as text or as a number; None if it is none."""
    text = str(value)
    return int(text) if len(text) <= MAX_NUMBER_DIGITS and text.isascii() and text.isdecimal() else None


def _line(start: Mapping[str, Any]) -> Line:
    """Return what is known of the call: the stream's parameters, which the operator sets, name the numbers."""
    parameters = {str(name): str(value) for name, value in _object(start, "customParameters").items()}
    caller, callee = parameters.pop("from", ""), parameters.pop("to", "")
    parameters["callSid"] = str(start.get("callSid", ""))
    return Line("inbound", caller, callee, headers=parameters).trimmed()


def _parse(frame: WSMessage) -> dict[str, Any] | None:
    if frame.type is not WSMsgType.TEXT:
        return None
    try:
        message = read_json(frame.data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _object(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = message.get(name)
    return found if isinstance(found, dict) else {}


def _check_signature(request: web.Request, known_url: str | None, token: str) -> None:
    """Hold the request against its signature: HMAC-SHA1 of the URL, as the carrier knows it.

    Raises:
        OfferError: 403.
    """
    url = known_url or f"wss://{request.host}{request.path_qs}"
    given = request.headers.get("X-Twilio-Signature", "").encode(errors="surrogateescape")
    # Some carriers sign the URL with a slash behind it.
    signed = [hmac.compare_digest(given, signature(token, each).encode()) for each in (url, f"{url}/")]
    if not any(signed):
        raise OfferError(403, "wrong_signature", "The X-Twilio-Signature header does not fit the URL.")


def signature(token: str, url: str) -> str:
    """Return what a carrier sends as ``X-Twilio-Signature`` for a WebSocket, which has no form parameters."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()
