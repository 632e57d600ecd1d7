"""A caller that costs little, so that one core of a generator can load one of a service.

aiortc shakes hands. Then packets that were encoded beforehand go straight to the socket, and what comes is decoded
only as far as is needed to know when the agent speaks. The caller does nothing by itself: the wheel ticks it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any
from urllib.parse import urljoin

import aiohttp
import av
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from agent.clock import monotonic
from agent.errors import MediaError, OfferError
from agent.media.opus import OpusDecoder
from agent.media.rtp import RtpPacket
from agent.media.tap.audio import tap_audio
from agent.media.tap.packets import Send, rtp_sender, vanish
from agent.unicode import read_json
from signaling.load.clips import Clip
from signaling.load.hearing import EAR_RATE_HZ, Ear
from signaling.load.impairment import Impairment
from signaling.load.scenario import Network, Way
from signaling.webrtc.peer import close_peer
from signaling.webrtc.sdp import media_sections

CONNECT_TIMEOUT_S = 20.0
MAX_MESSAGES = 2000
TIMESTAMPS_PER_PACKET = 960
OPUS = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType.lower() == "audio/opus"]

OnMessage = Callable[[Mapping[str, Any], float], None]
"""Takes an RTVI message, untrusted, and when it came."""


class Mute(MediaStreamTrack):
    """Never has a packet: the wheel sends instead, at a fraction of a sender's cost."""

    kind = "audio"

    async def recv(self) -> av.Packet[Any]:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise MediaStreamError


class LightCaller:
    """One connection to a service.

    Args:
        http: the client, shared by all callers; it carries the key.
        url: the service's address.
        quiet: what is sent while nothing is said, repeated.
        network: what the network does.
        rng: of the network.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, quiet: Sequence[bytes], network: Network, rng: random.Random
    ) -> None:
        self.ear = Ear(OpusDecoder(EAR_RATE_HZ))
        self.messages: list[dict[str, Any]] = []
        "The first `MAX_MESSAGES` RTVI messages; untrusted, but each has a text as type and an object as data."
        self.on_message: OnMessage = lambda _message, _at: None
        self.ended: str | None = None
        "Why the call is over, if the service ended it or the connection is lost."
        self.offered_at: float | None = None
        self.answered_at: float | None = None
        self.connected_at: float | None = None
        self.location: str | None = None
        self.first_loud_at = 0.0
        "When the first loud packet of the newest clip left."
        self.last_loud_at = 0.0
        self._http = http
        self._url = url
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
        self._mute = Mute()
        self._network = network
        self._rng = rng
        self._up = self._down = Impairment(Way(), rng)
        self._perfect = network == Network()
        self._send: Send | None = None
        self._payload_type = 0
        self._index = rng.randrange(1 << 15)
        self._quiet = quiet
        self._clip: Clip | None = None
        self._clip_at = 0
        self._on_their_way: list[tuple[float, int, RtpPacket]] = []
        self._holds: Callable[[float], bool] | None = None
        self._deadline = 0.0
        self._waiting: asyncio.Future[bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._channel = self._pc.createDataChannel("chat")
        self._channel.on("message", self._message_came)
        self._channel.on("open", self._greet)

    async def connect(self, state: str | None = None) -> None:
        """Call the service.

        Args:
            state: of an earlier call that this one continues, see docs/calls.md.

        Raises:
            OfferError: the service answered with an error, whose status it carries.
            MediaError: the answer cannot be used, or no connection came about.
            aiohttp.ClientError: the service cannot be reached.
            TimeoutError: it did not answer.
        """
        connected = asyncio.Event()

        def changed() -> None:
            state = self._pc.connectionState
            if state == "connected":
                connected.set()
            elif state in ("closed", "failed"):
                connected.set()
                self.ended = self.ended or "connection lost"

        self._pc.on("connectionstatechange", changed)
        transceiver = self._pc.addTransceiver(self._mute, direction="sendrecv")
        transceiver.setCodecPreferences(OPUS)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        self.offered_at = monotonic()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            answer = await self._offer(self._pc.localDescription.sdp, state)
        self.answered_at = monotonic()
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            payloads = next(part for part in media_sections(answer) if part.kind == "audio").payloads()
            self._payload_type = next(number for number, name in payloads.items() if name.lower() == "opus")
        except (ValueError, StopIteration) as error:
            raise MediaError(f"the service's answer cannot be used: {error}") from None
        if not tap_audio(transceiver.receiver, self._packet_came):
            raise MediaError("this version of aiortc cannot be tapped; talkspurt doctor says why")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await connected.wait()
        except TimeoutError:
            raise MediaError("no media connection came about") from None
        if self.ended is not None:
            raise MediaError("the media connection failed")
        self.connected_at = monotonic()
        self._up = Impairment(self._network.up, self._rng, self.connected_at)
        self._down = Impairment(self._network.down, self._rng, self.connected_at)
        self._send = rtp_sender(transceiver.sender)
        self._sender = transceiver.sender

    async def hang_up(self, *, goodbye: bool = True) -> None:
        """End the call; without goodbye the service is not told, not even by a closing message of DTLS."""
        if not goodbye and self._send is not None:
            vanish(self._sender)
        self._send = None
        if goodbye and self.location is not None:
            try:
                async with self._http.delete(self.location, timeout=aiohttp.ClientTimeout(5)):
                    pass
            except (aiohttp.ClientError, TimeoutError):
                pass  # it has gone away by itself; the test knows
        self.ear.finish()
        await close_peer(self._pc)
        self._mute.stop()

    def say(self, clip: Clip) -> None:
        """Begin to say something; `speaking` is true until it was said."""
        self._clip, self._clip_at = clip, 0

    @property
    def speaking(self) -> bool:
        """True while something is said."""
        return self._clip is not None

    async def state(self) -> str:
        """Return the call's state, with which another can continue it; the service needs a server key for that.

        Raises:
            OfferError: the service does not give it.
        """
        async with self._http.get(f"{self.location}/state") as response:
            body = await response.text()
            if response.status != 200:
                raise OfferError(
                    response.status, "no_state", f"the service does not tell the call's state: {body[:200]}"
                )
            return body

    def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send an RTVI message; nothing is sent if the data channel is not open."""
        if self._channel.readyState == "open":
            self._channel.send(json.dumps({"label": "rtvi-ai", "type": kind, "id": "load", "data": data}))

    async def until(self, holds: Callable[[float], bool], timeout_s: float) -> bool:
        """Wait until ``holds(now)``, asked every 20 ms; return False once it is too late or the call is over."""
        self._holds, self._deadline = holds, monotonic() + timeout_s
        self._waiting = self._loop.create_future()
        try:
            return await self._waiting
        finally:
            self._holds = self._waiting = None

    def tick(self, now: float) -> None:
        """Send the next packet, and hear what has come."""
        while self._on_their_way and self._on_their_way[0][0] <= now:
            at, _, packet = heappop(self._on_their_way)
            self.ear.take(packet.sequence_number, packet.timestamp, packet.payload, at)
        if self._send is not None:
            self._send_next(self._send, now)
        if self._holds is not None and self._waiting is not None and not self._waiting.done():
            held = self._holds(now)
            if held or now >= self._deadline or self.ended is not None:
                self._waiting.set_result(held)

    def _send_next(self, send: Send, now: float) -> None:
        payload = self._next_payload(now)
        index = self._index
        self._index += 1
        arrival = now if self._perfect else self._up.arrival(now)
        if arrival is None:
            return
        timestamp = index * TIMESTAMPS_PER_PACKET
        if arrival > now:
            self._loop.call_later(arrival - now, self._send_late, index, timestamp, payload)
        else:
            send(self._payload_type, index, timestamp, payload)

    def _send_late(self, index: int, timestamp: int, payload: bytes) -> None:
        if self._send is not None:
            self._send(self._payload_type, index, timestamp, payload)

    def _next_payload(self, now: float) -> bytes:
        clip, at = self._clip, self._clip_at
        if clip is None:
            return self._quiet[self._index % len(self._quiet)]
        if at == clip.first_loud:
            self.first_loud_at = now
        if at == clip.last_loud:
            self.last_loud_at = now
        self._clip_at += 1
        if self._clip_at == len(clip.payloads):
            self._clip = None
        return clip.payloads[at]

    def _packet_came(self, packet: RtpPacket) -> None:
        now = monotonic()
        if packet.payload_type != self._payload_type:
            return
        if self._perfect:
            self.ear.take(packet.sequence_number, packet.timestamp, packet.payload, now)
            return
        arrival = self._down.arrival(now)
        if arrival is not None:
            heappush(self._on_their_way, (arrival, packet.sequence_number, packet))

    def _greet(self) -> None:
        self.send("client-ready", {"version": "2.1.0", "about": {"library": "talkspurt-load"}})

    def _message_came(self, text: str | bytes) -> None:
        try:
            message = read_json(text)
        except ValueError:
            return
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            return
        data = message["data"] = message.get("data") or {}
        if not isinstance(data, dict):
            return
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(message)
        if data.get("type") == "call-ended":
            self.ended = self.ended or f"ended by the service: {str(data.get('reason'))[:60]}"
        self.on_message(message, monotonic())

    async def _offer(self, sdp: str, state: str | None) -> str:
        endpoint = urljoin(self._url, "/whip")
        if state is None:
            asked = self._http.post(endpoint, data=sdp, headers={"Content-Type": "application/sdp"})
        else:
            asked = self._http.post(
                endpoint, data=aiohttp.FormData({"sdp": sdp, "state": state}, default_to_multipart=True)
            )
        async with asked as response:
            body = await response.text()
            if response.status != 201:
                raise OfferError(response.status, "refused", body[:300])
            self.location = urljoin(endpoint, response.headers.get("Location", ""))
            return body
