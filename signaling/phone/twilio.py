"""The route for carriers' media streams, ``/twilio``: the carrier opens a WebSocket to it for each call.

A stream in a format other than 8 kHz mu-law is refused with a sentence in the close frame.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from agent.clock import monotonic
from agent.errors import ConfigError, OfferError
from agent.settings import Settings
from agent.unicode import read_json
from signaling.http.origins import origins_of
from signaling.phone.stream import StreamLeg, object_of
from signaling.webrtc.calls import Calls
from signaling.webrtc.offer import Negotiator
from signaling.webrtc.pending import Slot

logger = logging.getLogger(__name__)

PATH = "/twilio"
START_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
MAX_MESSAGE_BYTES = 64 << 10
MAX_REASON_BYTES = 123  # space for it in a close frame, RFC 6455 section 5.5
MULAW = ("audio/x-mulaw", "audio/mulaw", "mulaw", "ulaw", "audio/pcmu", "pcmu")


def routes(settings: Settings, negotiator: Negotiator, calls: Calls) -> list[web.RouteDef]:
    """Return the route for media streams; an empty list without the carrier's token.

    Raises:
        ConfigError: the service would accept signatures for URLs that name any host.
    """
    if settings.twilio_auth_token is None:
        return []
    if settings.twilio_url is None and origins_of(settings).hosts is None:
        raise ConfigError(
            f"{settings.source('twilio_auth_token')}: a signature for another of your services would be accepted "
            "here: set twilio_url to the URL of /twilio as the carrier knows it, or name this service in "
            "allowed_hosts"
        )
    token = settings.twilio_auth_token.get_secret_value()

    async def serve(request: web.Request) -> web.StreamResponse:
        offered_at = monotonic()
        check_signature(request, settings.twilio_url, token)
        calls.admission.check_budget(None)
        with calls.admission.slot(None, bounded=False) as slot:
            socket, leg = await begin(request, slot, offered_at)
        if leg is not None:
            await _converse(socket, leg)
            leg.closed()
        return socket

    async def begin(
        request: web.Request, slot: Slot, offered_at: float
    ) -> tuple[web.WebSocketResponse, StreamLeg | None]:
        """Start the call of a carrier's stream; return None for it if the stream is refused, or never described."""
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, timeout=CLOSE_TIMEOUT_S)
        await socket.prepare(request)
        start = await _start(socket)
        if start is None or calls.admission.draining:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return socket, None
        refusal = format_refusal(start)
        if refusal is not None:
            logger.warning("a carrier's stream was refused: %s", refusal)
            reason = refusal.encode()[:MAX_REASON_BYTES]
            await socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=reason)
            return socket, None
        leg = StreamLeg(socket, start, negotiator.new_call, settings.ice_grace_s)
        leg.call.timeline.reach("offer", offered_at)
        leg.call.timeline.reach("answer", monotonic())
        calls.start(leg, slot)
        return socket, leg

    return [web.get(PATH, serve)]


async def _converse(socket: web.WebSocketResponse, leg: StreamLeg) -> None:
    """Carry the call until the socket closes."""
    speaking = asyncio.create_task(leg.speak(), name="carrier-speak")
    try:
        async for frame in socket:
            message = parse_frame(frame)
            if message is not None:
                leg.take(message)
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def _start(socket: web.WebSocketResponse) -> Mapping[str, Any] | None:
    """Wait for the carrier's description of the call; return None if none comes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_TIMEOUT_S):
            async for frame in socket:
                message = parse_frame(frame)
                if message is not None and message.get("event") == "start":
                    return started(message)
    return None


def started(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the description of the stream in a ``start`` message."""
    return {"streamSid": message.get("streamSid", ""), **object_of(message, "start")}


def format_refusal(start: Mapping[str, Any]) -> str | None:
    """Return why a stream's format cannot be taken, in ASCII for the close frame; None if it can."""
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


def parse_frame(frame: WSMessage) -> dict[str, Any] | None:
    """Return the message in a frame: untrusted; None if it is not a JSON object."""
    if frame.type is not WSMsgType.TEXT:
        return None
    try:
        message = read_json(frame.data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def check_signature(request: web.Request, known_url: str | None, token: str) -> None:
    """Check the signature of a request: HMAC-SHA1 of the URL, as the carrier knows it.

    Raises:
        OfferError: 403.
    """
    url = known_url or f"wss://{request.host}{request.path_qs}"
    given = request.headers.get("X-Twilio-Signature", "").encode(errors="surrogateescape")
    # Some carriers sign the URL with a trailing slash.
    signed = [hmac.compare_digest(given, signature(token, each).encode()) for each in (url, f"{url}/")]
    if not any(signed):
        raise OfferError(403, "wrong_signature", "The X-Twilio-Signature header does not match the URL.")


def signature(token: str, url: str) -> str:
    """Return the ``X-Twilio-Signature`` for a WebSocket, which has no form parameters."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()
