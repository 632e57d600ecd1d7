"""Camera and screen from aiortc to the model: which pictures arrive, how often, and that the rest costs nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Iterator

import aiortc.codecs
import aiortc.rtcrtpreceiver
import numpy as np
import pytest
from aiohttp import ClientSession
from aiortc import RTCPeerConnection
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RTCP_PSFB_PLI, AnyRtcpPacket, RtcpPsfbPacket, RtpPacket

from agent.emulator import Emulator
from agent.emulator.model.picture import picture_size
from agent.media.tap import audio as tap
from agent.media.tap import video as tap_video
from signaling.client.caller import call_service
from signaling.webrtc.peer import close_peer
from tests.support.pictures import BLUE, RED, SIZE, Rgb, Show, decoded_jpeg, sent
from tests.support.service import ServiceFactory


def colour(picture: Rgb) -> str:
    """Return the source that has this background."""
    apart = {name: np.abs(picture[:40] - np.array(rgb)).mean() for name, rgb in (("camera", RED), ("screen", BLUE))}
    name = min(apart, key=lambda each: apart[each])
    assert apart[name] < 12
    return name


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the SSRCs for which a caller was asked for a key frame."""
    asked: list[int] = []
    handle = aiortc.RTCRtpSender._handle_rtcp_packet

    async def listen(sender: aiortc.RTCRtpSender, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_PLI:
            asked.append(packet.media_ssrc)
        await handle(sender, packet)

    monkeypatch.setattr(aiortc.RTCRtpSender, "_handle_rtcp_packet", listen)
    return asked


@pytest.fixture
def _nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither side's aiortc decodes video, and no frame waits anywhere."""
    decoders: list[str] = []
    get_decoder = aiortc.codecs.get_decoder

    def note(codec: aiortc.RTCRtpCodecParameters) -> object:
        decoders.append(codec.mimeType)
        return get_decoder(codec)

    monkeypatch.setattr(aiortc.rtcrtpreceiver, "get_decoder", note)
    yield
    assert not [name for name in decoders if name.startswith("video")]
    # By type: isinstance looks through a weak proxy, and somebody's may be dead.
    tracks = [track for track in gc.get_objects() if type(track) is RemoteStreamTrack and track.kind == "video"]
    assert not any(track._queue.qsize() > 1 for track in tracks)  # its end is put there


@pytest.mark.usefixtures("_nothing_decoded")
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_camera_and_screen_arrive(
    service: ServiceFactory, emulator: Emulator, codec: str, requests: list[int]
) -> None:
    camera, screen = Show(RED, 30), Show(BLUE, 15)
    async with service() as url, call_service(url, videos=[camera, screen], video_codec=codec) as caller:
        started = asyncio.get_running_loop().time()
        await caller.message("bot-ready")
        await caller.until(lambda: min(sent(caller)[name] for name in ("camera", "screen")) >= 3)
        took_s = asyncio.get_running_loop().time() - started
        counts = sent(caller)
        session = emulator.sessions[0]
        await emulator.wait_for(lambda: session.picture_count >= counts.total())
        pictures = list(session.pictures)
        assert camera.sent_frames > 30 * 2
    assert 2.0 <= took_s < 6
    assert max(counts.values()) <= took_s + 1
    assert {picture.mime for picture in pictures} == {"image/jpeg"}
    assert {picture_size(picture.data) for picture in pictures} == {SIZE}
    arrived = Counter(colour(decoded_jpeg(picture.data)) for picture in pictures)
    assert all(arrived[name] >= counts[name] for name in counts)
    assert len(set(requests)) == 2
    assert len(requests) <= 2 * (took_s + 1)


@pytest.mark.usefixtures("_nothing_decoded")
async def test_a_still_picture_is_sent_once(service: ServiceFactory, requests: list[int]) -> None:
    shows = [Show(RED, 15, still=True), Show(BLUE, 15)]
    async with service(video_fps=3.0) as url, call_service(url, videos=shows) as caller:
        await caller.until(lambda: sent(caller)["screen"] >= 4)
        assert sent(caller)["camera"] == 1
        assert min(Counter(requests).values()) >= 2, "it was looked at all the same"


async def test_or_again_and_again_if_wished(service: ServiceFactory) -> None:
    shows = [Show(RED, 15, still=True)]
    async with service(video_fps=3.0, video_skip_unchanged=False) as url, call_service(url, videos=shows) as caller:
        await caller.until(lambda: sent(caller)["camera"] >= 3)


async def test_pictures_are_scaled(service: ServiceFactory, emulator: Emulator) -> None:
    async with service(video_max_px=160) as url, call_service(url, videos=[Show(RED, 15)]) as caller:
        await caller.until(lambda: sent(caller)["camera"])
        await emulator.wait_for(lambda: emulator.sessions[0].picture_count > 0)
        assert picture_size(emulator.sessions[0].pictures[0].data) == (160, 120)


async def test_lost_key_frames_are_asked_for_again(
    service: ServiceFactory, requests: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every packet of the stream's first second is lost, then one in twenty, and none is sent again."""
    came = Counter[int]()
    add = tap_video.VideoTap.add

    def lose(self: tap_video.VideoTap, packet: RtpPacket) -> tuple[bool, object]:
        came[packet.ssrc] += 1
        if came[packet.ssrc] < 20 or came[packet.ssrc] % 20 == 0:
            return False, None
        return add(self, packet)

    monkeypatch.setattr(tap_video.VideoTap, "add", lose)
    async with service() as url, call_service(url, videos=[Show(RED, 20)]) as caller:
        await caller.until(lambda: sent(caller)["camera"] >= 2, timeout_s=15)
        assert requests


@pytest.mark.usefixtures("_nothing_decoded")
async def test_video_can_be_turned_off(service: ServiceFactory, emulator: Emulator, requests: list[int]) -> None:
    camera = Show(RED, 30)
    async with service(video_fps=0) as url, call_service(url, videos=[camera]) as caller:
        await caller.message("bot-ready")
        assert caller.pc.remoteDescription.sdp.count("a=inactive") == 1
        caller.type("what is one plus one")
        await caller.message("bot-output", lambda data: "2" in data["text"])
        assert not any(thread.name == "video-decoder" for thread in threading.enumerate())
    assert camera.sent_frames == 0
    assert emulator.sessions[0].picture_count == 0
    assert requests == []


async def test_more_than_camera_and_screen_is_turned_down(service: ServiceFactory) -> None:
    shows = [Show(RED, 5), Show(BLUE, 5), Show(BLUE, 5)]
    async with service() as url, call_service(url, videos=shows) as caller:
        await caller.until(lambda: len(sent(caller)) == 2)
        directions = [transceiver.currentDirection for transceiver in caller.pc.getTransceivers()]
        assert directions == ["sendrecv", "sendonly", "sendonly", "inactive"]


async def test_video_that_never_comes_costs_nothing(service: ServiceFactory, requests: list[int]) -> None:
    """As the page offers it: two sections with nothing on them."""
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    pc.addTransceiver("video", direction="sendonly")
    pc.addTransceiver("video", direction="sendonly")
    async with service() as url, ClientSession(url) as http:
        await pc.setLocalDescription(await pc.createOffer())
        headers = {"Content-Type": "application/sdp"}
        async with http.post("/whip", data=pc.localDescription.sdp, headers=headers) as response:
            assert response.status == 201
        assert not any(thread.name.startswith("video_") for thread in threading.enumerate())
        await close_peer(pc)
    assert requests == []


async def test_without_the_tap_pictures_come_all_the_same(
    service: ServiceFactory, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap, "version", lambda _name: "1.17.0")
    async with service(video_fps=2.0) as url, call_service(url, videos=[Show(RED, 15), Show(BLUE, 15)]) as caller:
        await caller.until(lambda: min(sent(caller)[name] for name in ("camera", "screen")) >= 2)
        await emulator.wait_for(lambda: emulator.sessions[0].picture_count >= 4)
        assert {colour(decoded_jpeg(picture.data)) for picture in emulator.sessions[0].pictures} == {
            "camera",
            "screen",
        }


async def test_the_worker_ends_with_the_service(service: ServiceFactory) -> None:
    async with service() as url:
        async with call_service(url, videos=[Show(RED, 15)]) as caller:
            await caller.until(lambda: sent(caller)["camera"])
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("video")] == ["video_0"]
    assert not any(thread.name.startswith("video") for thread in threading.enumerate())
