"""A telephone call over a carrier's WebSocket, by the protocol of Twilio's Media Streams.

The carrier sends JSON texts: ``connected``, ``start``, then ``media`` (20 ms of 8 kHz mu-law in base64) and
``dtmf``, and finally ``stop``. The service sends ``media``, ``clear`` when the agent is interrupted, and ``mark``,
which comes back once everything sent before it has been played. Closing the socket returns the phone to the
carrier. Source: Twilio's description of the WebSocket messages of bidirectional streams, which other carriers also
use.

Missing chunks become silence, as long as the timestamps of the others tell; duplicates and late chunks are dropped.

Silence is not sent: after a stall of the network, the backlog in the carrier's buffer would otherwise stay there
for the rest of the call. So each pause of the agent brings the delay back to nothing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiortc.mediastreams import MediaStreamError

from agent import events
from agent.call.call import Call
from agent.call.stats import CallStats
from agent.clock import monotonic
from agent.errors import GatewayError
from agent.media.dtmf import KEYS
from agent.media.inbound import InboundAudio, PacketInlet
from agent.media.rtp import RtpPacket
from signaling.phone.caller_id import CallerId
from signaling.phone.chunks import Chunks
from signaling.phone.telephone import phone_tools
from signaling.webrtc.leg import call_stats
from signaling.webrtc.offer import CallOptions
from signaling.webrtc.rates import Rates

logger = logging.getLogger(__name__)

PLAYED_TIMEOUT_S = 3.0
PCMU_PAYLOAD = 0


class StreamLeg:
    """A call on a carrier's WebSocket; a `leg.Leg` and a `telephone.Phone`.

    Args:
        socket: the carrier's WebSocket.
        start: the carrier's description of the stream: untrusted.
        new_call: makes the call.
        max_silence_s: how long the carrier may send nothing.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        start: Mapping[str, Any],
        new_call: Callable[[CallOptions], Call],
        max_silence_s: float,
    ) -> None:
        self.caller_id = caller_id_of(start)
        self.rates = Rates()
        self._socket = socket
        self._stream_sid = str(start.get("streamSid", ""))
        self._max_silence_s = max_silence_s
        self._chunks = Chunks()
        self._packets = 0
        self._heard_at = monotonic()
        self._speaking = False
        self._interrupted = False  # True if the carrier must discard what it has
        self._mark_due = False
        self._sent_marks = self._played_marks = 0
        self._mark_played = asyncio.Event()
        self._said_goodbye = False
        tools = phone_tools(self, lambda: self.call)
        self.call = new_call(
            CallOptions(tools, self.caller_id.instruction(), self.caller_id.caller, telephone=True)
        )
        self.call.voice.use_codec("PCMU")
        self._inlet = PacketInlet({PCMU_PAYLOAD: "pcmu"}, tap=self.call.taping.tap, capture=self.call.capture)
        self.call.observe(self._observe)

    # The methods of a leg.

    async def run(self) -> events.CallEnded:
        """Hold the call until it has ended; return how it did."""
        return await self.call.run(self._audio())

    async def watch(self, on_connected: Callable[[], None]) -> None:
        """End the call once the carrier has sent nothing for `max_silence_s`; return then, or when cancelled."""
        on_connected()
        self.call.media_flows()
        rest_s = self._max_silence_s
        while rest_s > 0:
            await asyncio.sleep(rest_s)
            rest_s = self._heard_at + self._max_silence_s - monotonic()
        self.call.hang_up("ice_lost", "The connection to the carrier was lost.", "network")

    async def linger(self, ended: events.CallEnded) -> None:
        """Return at once: a telephone cannot be told anything."""

    async def close(self) -> None:
        """Return the telephone to the carrier, once it has played the agent's goodbye."""
        try:
            if self._said_goodbye:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._goodbye_played(), PLAYED_TIMEOUT_S)
        finally:
            await self._socket.close()

    def describe(self) -> dict[str, Any]:
        """Return the facts about the connection that `GET` on the call shows."""
        return {"phone": {**self.caller_id.described(), "answered": True}}

    def stats(self) -> CallStats:
        """Read the counters of the call."""
        return call_stats(self.call, self._audio(), self.rates)

    def let_go(self) -> None:
        """Break the reference cycles through the call, once it is over."""
        self.call.let_go()

    # The methods of a telephone.

    def end(self) -> None:
        """Have the agent hang up."""
        self._said_goodbye = True
        self.call.hang_up("hung_up", "The agent hung up.", "agent")

    async def send_keys(self, keys: str) -> None:
        """Raise GatewayError: a media stream cannot press keys."""
        raise GatewayError("this carrier's media stream cannot press keys")

    async def transfer(self, target: str) -> None:
        """Raise GatewayError: a media stream cannot transfer."""
        raise GatewayError("this carrier's media stream cannot transfer")

    # The service's end of the socket.

    def take(self, message: Mapping[str, Any]) -> None:
        """Process an untrusted message from the carrier."""
        self._heard_at = monotonic()
        match message.get("event"):
            case "media":
                media = object_of(message, "media")
                if media.get("track", "inbound") == "inbound":
                    self._hear(media)
            case "dtmf":
                key = str(object_of(message, "dtmf").get("digit", "")).upper()
                if len(key) == 1 and key in KEYS:
                    self.call.press(key)
            case "mark":
                self._played_marks += 1
                self._mark_played.set()
            case "stop":
                self.call.hang_up("hung_up", "The phone hung up.", "caller")

    def closed(self) -> None:
        """End the call: the carrier has closed the connection."""
        self.call.hang_up("caller_left", "The carrier closed the connection.", "caller")

    async def speak(self) -> None:
        """Send the agent's voice while it speaks; return when the call or the socket ends."""
        try:
            while True:
                packet = await self.call.voice.recv()
                if self._interrupted:
                    self._interrupted = self._mark_due = False
                    await self._send("clear")
                if self._speaking:
                    await self._send("media", media={"payload": base64.b64encode(bytes(packet)).decode()})
                elif self._mark_due:
                    self._mark_due = False
                    self._sent_marks += 1
                    await self._send("mark", mark={"name": str(self._sent_marks)})
        except (MediaStreamError, ConnectionError):
            return

    def _audio(self) -> InboundAudio:
        inlet = self._inlet
        return InboundAudio(
            lambda: inlet.listen(monotonic, self.call.hear), True, inlet.stats, lambda: inlet.reorder_stats
        )

    def _hear(self, media: Mapping[str, Any]) -> None:
        """Pass on a chunk of the caller's voice."""
        try:
            ulaw = base64.b64decode(str(media.get("payload", "")), validate=True)
        except (binascii.Error, ValueError):
            logger.debug("call %s: media that is not base64 is ignored", self.call.call_id)
            return
        now = monotonic()
        begin = self._chunks.place(media, len(ulaw), now)
        if begin is None:
            self._inlet.reorder_stats.late += 1
            return
        # The socket keeps the order, so a missing chunk never comes. We number them here, so that nothing waits.
        packet = RtpPacket(PCMU_PAYLOAD, 0, self._packets & 0xFFFF, begin & 0xFFFFFFFF, 0, ulaw)
        self._packets += 1
        for pcm in self._inlet.push(packet, now):
            self.call.hear(pcm)

    def _observe(self, event: events.Event) -> None:
        match event:
            case events.AgentStartedSpeaking():
                self._speaking = True
            case events.AgentStoppedSpeaking():
                self._speaking, self._mark_due = False, True
            case events.AgentInterrupted():
                self._interrupted = True

    async def _send(self, event: str, **more: Any) -> None:
        await self._socket.send_json({"event": event, "streamSid": self._stream_sid, **more})

    async def _goodbye_played(self) -> None:
        while self._played_marks < self._sent_marks and not self._socket.closed:
            self._mark_played.clear()
            await self._mark_played.wait()


def caller_id_of(start: Mapping[str, Any]) -> CallerId:
    """Return who calls whom, from the stream's parameters, in which the operator passes the numbers."""
    parameters = {str(name): str(value) for name, value in object_of(start, "customParameters").items()}
    caller, callee = parameters.pop("from", ""), parameters.pop("to", "")
    parameters["callSid"] = str(start.get("callSid", ""))
    return CallerId("inbound", caller, callee, headers=parameters).trimmed()


def object_of(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object within a message; an empty one if the message has none of that name."""
    found = message.get(name)
    return found if isinstance(found, dict) else {}
