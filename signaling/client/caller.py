"""A headless caller that does what a browser does on a call: for tests, load tests and `talkspurt call`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any, Protocol
from urllib.parse import urljoin

import aiohttp
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from agent.errors import OfferError
from agent.media.fir import Pcm, to_mono
from agent.unicode import read_json
from signaling.webrtc.peer import close_peer

FRAME_S = 0.02
CONNECT_TIMEOUT_S = 15.0
MAX_EVENTS = 10_000
MAX_HEARD_S = 600


class Microphone(MediaStreamTrack):
    """A synthetic microphone: plays what it is given, silence otherwise, in real time.

    Args:
        rate_hz: the rate of the PCM given to `play`.
    """

    kind = "audio"

    def __init__(self, rate_hz: int = 48_000) -> None:
        super().__init__()
        self.rate_hz = rate_hz
        self.sent_frames = 0
        self._frame_samples = int(rate_hz * FRAME_S)
        self._pending = np.zeros(0, np.int16)
        self._started: float | None = None
        self._played = asyncio.Event()
        self._played.set()

    def play(self, pcm: Pcm) -> None:
        """Queue speech: int16, shape ``(samples,)``, mono."""
        self._pending = np.concatenate((self._pending, pcm))
        self._played.clear()

    @property
    def idle(self) -> bool:
        """True once everything that was queued has been sent."""
        return self._played.is_set()

    async def played(self) -> None:
        """Wait until everything that was queued has been sent."""
        await self._played.wait()

    async def recv(self) -> av.AudioFrame:
        """Return the next 20 ms once they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._started is None:
            self._started = loop.time()
        await asyncio.sleep(max(0.0, self._started + self.sent_frames * FRAME_S - loop.time()))
        samples = np.zeros(self._frame_samples, np.int16)
        part = self._pending[: self._frame_samples]
        samples[: len(part)] = part
        self._pending = self._pending[len(part) :]
        if not len(self._pending):
            self._played.set()
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self.rate_hz
        frame.pts = self.sent_frames * self._frame_samples
        frame.time_base = Fraction(1, self.rate_hz)
        self.sent_frames += 1
        return frame


class Line(Protocol):
    """What lies between a caller and the service, and how the caller listens."""

    def offered(self, description: str) -> str:
        """Return the offer as it is to be sent."""

    def answered(self, description: str) -> str:
        """Return the answer as the caller is to take it."""

    def listen(self, caller: Caller, transceiver: RTCRtpTransceiver, answer: str) -> None:
        """Take over the agent's voice, before any of it comes."""


class Caller:
    """One call as the caller sees it; see `call_service`."""

    def __init__(
        self, pc: RTCPeerConnection, microphone: Microphone, *, greets: bool = True, hangs_up: bool = True
    ) -> None:
        self.pc = pc
        self.hangs_up = hangs_up
        "If false, the caller will leave without a DELETE."
        self.on_message: Callable[[dict[str, Any]], None] | None = None
        "Called with each RTVI message as it comes."
        self.microphone = microphone
        self.messages: list[dict[str, Any]] = []
        "The RTVI messages received, in order."
        self.heard: list[Pcm] = []
        "The audio received, frame by frame: int16, mono, at `heard_rate_hz`."
        self.heard_rate_hz = 48_000
        self.location: str | None = None
        self._changed = asyncio.Event()
        self._channel = pc.createDataChannel("chat")
        self._channel.on("message", self._message_came)
        if greets:
            self._channel.on("open", self._greet)

    @property
    def can_send(self) -> bool:
        """True while the data channel is open."""
        return bool(self._channel.readyState == "open")

    def send_text(self, text: str) -> None:
        """Send a text over the data channel as it is."""
        self._channel.send(text)

    def send(self, kind: str, data: dict[str, Any] | None = None, message_id: str = "1") -> None:
        """Send an RTVI message."""
        message = {"label": "rtvi-ai", "type": kind, "id": message_id, "data": data or {}}
        self.send_text(json.dumps(message))

    def type(self, text: str) -> None:
        """Type to the agent."""
        self.send("send-text", {"content": text})

    async def until(self, found: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        """Wait until ``found()`` is true, and return its value; it is called after each message and each frame.

        Raises:
            TimeoutError: it did not become true.
        """
        async with asyncio.timeout(timeout_s):
            while not (value := found()):
                self._changed.clear()
                await self._changed.wait()
            return value

    async def message(
        self,
        kind: str,
        matches: Callable[[dict[str, Any]], bool] = lambda _data: True,
        *,
        after: int = 0,
        timeout_s: float = 10.0,
    ) -> dict[str, Any]:
        """Wait for a message of a type whose data matches; return its data.

        Args:
            kind: the RTVI type of the message.
            matches: returns whether its data is what is wanted.
            after: the index into `messages` at which to begin.
            timeout_s: how long to wait.
        """

        def found() -> dict[str, Any] | None:
            for message in self.messages[after:]:
                data = message.get("data") or {}
                if message["type"] == kind and matches(data):
                    return {"found": data}
            return None

        result: dict[str, Any] = (await self.until(found, timeout_s))["found"]
        return result

    async def ended(self, timeout_s: float = 10.0) -> None:
        """Wait until the service has closed the connection."""
        await self.until(lambda: self.pc.connectionState == "closed", timeout_s)

    def heard_pcm(self) -> Pcm:
        """Return everything heard: int16, mono, at `heard_rate_hz`."""
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    async def listen(self, track: MediaStreamTrack) -> None:
        """Record a track until it ends."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            self.heard_rate_hz = frame.sample_rate
            samples: Pcm = frame.to_ndarray().astype(np.int16, copy=False).reshape(-1)
            self.heard.append(to_mono(samples, frame.layout.nb_channels))
            if len(self.heard) * FRAME_S > MAX_HEARD_S:
                del self.heard[0]
            self.changed()

    def changed(self) -> None:
        """Wake the callers of `until`."""
        self._changed.set()

    def _greet(self) -> None:
        self.send("client-ready", {"version": "2.1.0", "about": {"library": "talkspurt-caller"}})

    def _message_came(self, text: str | bytes) -> None:
        message = json.loads(text)
        if len(self.messages) < MAX_EVENTS:
            self.messages.append(message)
        if self.on_message is not None:
            self.on_message(message)
        self.changed()


@asynccontextmanager
async def call_service(
    url: str,
    *,
    microphone: Microphone | None = None,
    key: str | None = None,
    codec: str | None = None,
    videos: Sequence[MediaStreamTrack] = (),
    video_codec: str | None = None,
    listens: bool = True,
    speaks: bool = True,
    hang_up: bool = True,
    state: str | None = None,
    traceparent: str | None = None,
    record: bool | None = None,
    location: str | None = None,
    line: Line | None = None,
) -> AsyncIterator[Caller]:
    """Call a service by WHIP.

    Args:
        url: the service's address, e.g. ``http://127.0.0.1:8080/``.
        microphone: what the caller says; silence if None.
        key: the bearer token.
        codec: the only audio codec to offer: opus, PCMU, PCMA or G722; all if None.
        videos: what the caller shows: the camera, then the screen.
        video_codec: the only video codec to offer: VP8 or H264; all if None.
        listens: if False, offer sendonly, as a WHIP publisher does.
        speaks: if False, offer recvonly: the caller can only type.
        hang_up: if False, leave without a DELETE.
        state: the state of an earlier call that this one continues, as ``GET .../state`` returned it.
        traceparent: names the span that led to the call (W3C Trace Context).
        record: whether the service is to record the call; None leaves that to the service.
        location: the address of a running call to connect to, in place of its present connection. The caller does
            not say client-ready again.
        line: what is between the caller and the service; nothing if None.

    Raises:
        OfferError: the service answered with an error, whose status it carries.
        TimeoutError: no media connection was established.
    """
    # As the offerer, aiortc by default loses the second video section, and with MAX_BUNDLE whatever follows the
    # data channel.
    pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
    caller = Caller(pc, microphone or Microphone(), greets=location is None, hangs_up=hang_up)
    connected = asyncio.Event()
    listening: list[asyncio.Task[None]] = []
    if line is None:
        pc.on("track", lambda track: listening.append(asyncio.create_task(caller.listen(track))))

    def state_changed() -> None:
        caller.changed()
        if pc.connectionState == "connected":
            connected.set()

    pc.on("connectionstatechange", state_changed)
    direction = "recvonly" if not speaks else "sendrecv" if listens else "sendonly"
    transceiver = pc.addTransceiver(caller.microphone if speaks else "audio", direction=direction)
    _prefer(transceiver, codec)
    for video in videos:
        _prefer(pc.addTransceiver(video, direction="sendonly"), video_codec)
    endpoint = urljoin(url, "/whip" if record is None else f"/whip?record={str(record).lower()}")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    if traceparent is not None:
        headers["traceparent"] = traceparent
    try:
        async with aiohttp.ClientSession(headers=headers) as http:
            await pc.setLocalDescription(await pc.createOffer())
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                offer = pc.localDescription.sdp if line is None else line.offered(pc.localDescription.sdp)
                caller.location, answer = await _offer(http, location or endpoint, offer, state)
                if line is not None:
                    answer = line.answered(answer)
                await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
                if line is not None:
                    line.listen(caller, transceiver, answer)
                await connected.wait()
            try:
                yield caller
            finally:
                if caller.hangs_up:
                    async with http.delete(caller.location):
                        pass  # 200 even if the call has already ended
    finally:
        await close_peer(pc)
        for track in (caller.microphone, *videos):
            track.stop()
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


def _prefer(transceiver: RTCRtpTransceiver, codec: str | None) -> None:
    """Offer only one codec, if one is given."""
    if codec is None:
        return
    wanted = f"{transceiver.kind}/{codec}".lower()
    capabilities = RTCRtpSender.getCapabilities(transceiver.kind)
    transceiver.setCodecPreferences([found for found in capabilities.codecs if found.mimeType.lower() == wanted])


async def _offer(http: aiohttp.ClientSession, endpoint: str, offer: str, state: str | None) -> tuple[str, str]:
    if state is None:
        asked = http.post(endpoint, data=offer, headers={"Content-Type": "application/sdp"})
    else:
        form = aiohttp.FormData({"sdp": offer, "state": state}, default_to_multipart=True)
        asked = http.post(endpoint, data=form)
    async with asked as response:
        body = await response.text()
        if response.status != 201:
            raise OfferError(response.status, "refused", _detail(body))
        return urljoin(endpoint, response.headers["Location"]), body


def _detail(body: str) -> str:
    """Return the detail of a problem (RFC 9457), or the beginning of any other body."""
    try:
        told = read_json(body)
    except ValueError:
        told = None
    detail = told.get("detail") if isinstance(told, dict) else None
    return (detail if isinstance(detail, str) else body)[:500]
