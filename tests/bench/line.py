"""One call through the WHIP door, as every caller of the bench makes it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urljoin

import aiohttp
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.rtp import is_rtcp

from agent.media.rtp import RtpPacket
from agent.media.tap.audio import tap_audio
from signaling.webrtc.peer import close_peer
from signaling.webrtc.sdp import media_sections
from tests.bench.service import Service
from tests.bench.video import Camera

CONNECT_TIMEOUT_S = 20.0

TakePacket = Callable[[RtpPacket], None]


class Line:
    """A connected call.

    Attributes:
        location: the call's address at the service.
        sender: of the caller's voice.
        payloads: the audio codecs' names by payload type.
    """

    def __init__(self, location: str, sender: RTCRtpSender, payloads: Mapping[int, str]) -> None:
        self.location = location
        self.sender = sender
        self.payloads = payloads

    @property
    def transport(self) -> RTCDtlsTransport:
        """What encrypts and sends."""
        return self.sender.transport


@asynccontextmanager
async def call_service(
    service: Service,
    microphone: MediaStreamTrack,
    listener: Callable[[Mapping[int, str]], TakePacket],
    *,
    camera: Camera | None = None,
    prepare: Callable[[RTCDtlsTransport], None] = lambda _transport: None,
    reached: Callable[[str], None] = lambda _instant: None,
) -> AsyncIterator[Line]:
    """Call a service.

    Args:
        service: whom to call.
        microphone: what to send.
        listener: given the payload types, returns what takes the RTP packets that come.
        camera: send this, too.
        prepare: is shown the transport before it carries anything.
        reached: is told ``offer`` when the offer is sent, ``answer`` when the answer has come, and ``ice`` and
            ``dtls`` when these are done.
    """
    # No STUN: candidates are this machine's own addresses.
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    connected = asyncio.Event()

    def state_changed() -> None:
        if pc.connectionState == "connected" and not connected.is_set():
            reached("dtls")
            connected.set()

    pc.on("connectionstatechange", state_changed)
    pc.on("iceconnectionstatechange", lambda: reached("ice") if pc.iceConnectionState == "completed" else None)
    location: str | None = None
    try:
        transceiver = pc.addTransceiver(microphone, direction="sendrecv")
        if camera is not None:
            camera.obey(pc.addTransceiver(camera, direction="sendonly").sender)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await pc.setLocalDescription(await pc.createOffer())
            reached("offer")
            location, answer = await _offer(service, pc.localDescription.sdp)
            reached("answer")
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            line = Line(location, transceiver.sender, media_sections(answer)[0].payloads())
            if not tap_audio(transceiver.receiver, listener(line.payloads)):
                raise RuntimeError("this aiortc cannot be tapped")
            prepare(line.transport)
            await connected.wait()
        yield line
    finally:
        if location is not None:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with service.http.delete(location, timeout=aiohttp.ClientTimeout(5)):
                    pass
        await close_peer(pc)
        microphone.stop()


def drop_packets(transport: RTCDtlsTransport, share: float, seed: str, dropped: Callable[[int], None]) -> None:
    """Lose a share of the RTP packets that a transport sends, after they were given their sequence numbers.

    The harness replaces a private method of this one transport: a network that loses packets, without root's help.
    RTCP and DTLS pass. ``dropped`` is told the index of each lost packet, counted from the first one sent.
    """
    rng = random.Random(seed)
    index = -1
    send = transport._send_rtp

    async def lossy(data: bytes) -> None:
        nonlocal index
        if is_rtcp(data):
            await send(data)
            return
        index += 1
        if rng.random() < share:
            dropped(index)
        else:
            await send(data)

    transport._send_rtp = lossy  # type: ignore[method-assign]


async def _offer(service: Service, sdp: str) -> tuple[str, str]:
    endpoint = urljoin(service.url, "/whip")
    async with service.http.post(endpoint, data=sdp, headers={"Content-Type": "application/sdp"}) as response:
        body = await response.text()
        if response.status != 201:
            raise RuntimeError(f"the service answered {response.status}: {body[:300]}")
        return urljoin(endpoint, response.headers["Location"]), body
