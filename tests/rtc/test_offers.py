"""Calls from many kinds of offers: what was negotiated is what flows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from agent.emulator import Emulator
from agent.media.fir import Pcm
from signaling.client.caller import Caller, Microphone
from signaling.webrtc.peer import close_peer
from tests.support.pictures import BLUE, RED, Show, sent
from tests.support.service import ServiceFactory
from tests.support.tones import peak_hz, rms, tone

SECONDS = 2.0
Edit = Callable[[str], str]


def as_it_is(sdp: str) -> str:
    return sdp


def without(*patterns: str) -> Edit:
    """Return an edit that drops the lines that begin so."""
    return lambda sdp: re.sub(rf"(?m)^(?:{'|'.join(patterns)}).*\r\n", "", sdp)


@asynccontextmanager
async def call(
    url: str,
    tracks: Sequence[tuple[MediaStreamTrack | str, str]],
    *,
    edit_offer: Edit = as_it_is,
    edit_answer: Edit = as_it_is,
) -> AsyncIterator[Caller]:
    """Call with an offer that was edited on the way, and an answer that was.

    Args:
        url: the service's.
        tracks: what to send, or a kind, each with its direction; the first is a microphone.
        edit_offer: changes what the service gets.
        edit_answer: changes what the caller gets.
    """
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
    caller = Caller(pc, Microphone())
    listening: list[asyncio.Task[None]] = []
    pc.on("track", lambda track: listening.append(asyncio.create_task(caller.listen(track))))
    pc.on("connectionstatechange", caller.changed)
    for track, direction in tracks:
        pc.addTransceiver(track, direction=direction)
    await pc.setLocalDescription(await pc.createOffer())
    try:
        async with aiohttp.ClientSession(url) as http:
            offer = edit_offer(pc.localDescription.sdp)
            async with http.post("/whip", data=offer, headers={"Content-Type": "application/sdp"}) as response:
                answer = await response.text()
                assert response.status == 201, answer
            await pc.setRemoteDescription(RTCSessionDescription(edit_answer(answer), "answer"))
            await caller.message("bot-ready")
            yield caller
            async with http.delete(response.headers["Location"]):
                pass
    finally:
        await close_peer(pc)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


def speaking(frequency_hz: float) -> Microphone:
    microphone = Microphone()
    microphone.play(tone(frequency_hz, 48_000, SECONDS))
    return microphone


async def heard(emulator: Emulator) -> Pcm:
    """Return what the model has heard of the tone."""
    session = emulator.sessions[0]
    await emulator.wait_for(lambda: session.audio_samples_in >= (SECONDS + 0.5) * 16_000)
    loud = np.flatnonzero(np.abs(session.audio.astype(int)) > 1000)
    return session.audio[loud[0] : loud[-1]]


NO_SOURCES = without("a=ssrc")


def sent_all_the_same(answer: str) -> str:
    return answer.replace("a=inactive", "a=recvonly")


@pytest.mark.parametrize("edit_answer", [as_it_is, sent_all_the_same])
async def test_of_two_audio_sections_the_first_is_heard(
    service: ServiceFactory, emulator: Emulator, edit_answer: Edit
) -> None:
    """They have the same payload types and announce no sources; a careless client sends on both."""
    tracks = [(speaking(1000), "sendrecv"), (speaking(2500), "sendrecv")]
    async with (
        service() as url,
        call(url, tracks, edit_offer=NO_SOURCES, edit_answer=edit_answer) as caller,
    ):
        pcm = await heard(emulator)
        assert abs(peak_hz(pcm[1600:-1600], 16_000) - 1000) < 5
        assert 0.9 * SECONDS * 16_000 < len(pcm) < 1.05 * SECONDS * 16_000
        caller.type("what is twelve plus thirty")
        await caller.message("bot-stopped-speaking", timeout_s=15)
        assert rms(caller.heard_pcm()) > 300


async def test_the_agent_speaks_where_the_client_listens(service: ServiceFactory, emulator: Emulator) -> None:
    tracks: list[tuple[MediaStreamTrack | str, str]]
    tracks = [("audio", "inactive"), ("audio", "recvonly"), (speaking(1000), "sendonly")]
    async with service() as url, call(url, tracks, edit_offer=NO_SOURCES) as caller:
        assert abs(peak_hz((await heard(emulator))[1600:-1600], 16_000) - 1000) < 5
        caller.type("what is twelve plus thirty")
        await caller.message("bot-stopped-speaking", timeout_s=15)
        assert rms(caller.heard_pcm()) > 300


@pytest.mark.parametrize(
    "edit_offer", [as_it_is, NO_SOURCES, without("a=ssrc", "a=extmap:1 ")], ids=["ssrc", "mid", "nothing"]
)
async def test_camera_and_screen_are_told_apart(service: ServiceFactory, edit_offer: Edit) -> None:
    """They are told apart by source, by mid, or by order."""
    tracks = [(speaking(1000), "sendrecv"), (Show(RED, 15), "sendonly"), (Show(BLUE, 15), "sendonly")]
    async with service(video_fps=2) as url, call(url, tracks, edit_offer=edit_offer) as caller:
        await caller.until(lambda: min(sent(caller)["camera"], sent(caller)["screen"]) >= 2, 20)


async def test_sections_without_a_bundle_have_transports_of_their_own(
    service: ServiceFactory, emulator: Emulator
) -> None:
    tracks = [(Show(RED, 15), "sendonly"), (speaking(1000), "sendrecv")]
    unbundled = without("a=group")
    async with (
        service(video_fps=2) as url,
        call(url, tracks, edit_offer=unbundled, edit_answer=unbundled) as caller,
    ):
        await caller.until(lambda: caller.pc.connectionState == "connected")
        transports = {transceiver.receiver.transport for transceiver in caller.pc.getTransceivers()}
        assert len(transports) == 2
        assert abs(peak_hz((await heard(emulator))[1600:-1600], 16_000) - 1000) < 5
        await caller.until(lambda: sent(caller)["camera"], 15)


@pytest.mark.parametrize("payload", ["35", "63"])
async def test_a_low_payload_type_is_used(service: ServiceFactory, emulator: Emulator, payload: str) -> None:
    def low(offer: str) -> str:
        return re.sub(r"SAVPF .*\r", f"SAVPF {payload}\r", offer).replace("a=rtpmap:96", f"a=rtpmap:{payload}")

    async with service() as url, call(url, [(speaking(1000), "sendrecv")], edit_offer=low) as caller:
        assert abs(peak_hz((await heard(emulator))[1600:-1600], 16_000) - 1000) < 5
        caller.type("what is twelve plus thirty")
        await caller.message("bot-stopped-speaking", timeout_s=15)
        assert rms(caller.heard_pcm()) > 300


async def test_a_call_goes_on_beside_sections_that_are_refused(service: ServiceFactory, emulator: Emulator) -> None:
    text, slides = "m=text 9 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n", "m=video 0 RTP/AVP 255\r\n"

    def around(offer: str) -> str:
        return re.sub(r"(?m)^m=audio", text + "m=audio", offer) + slides

    def taken(answer: str) -> str:
        return re.sub(r"(?ms)^m=(?:text|video) 0 .*?(?=^m=|\Z)", "", answer)

    tracks = [(speaking(1000), "sendrecv")]
    async with service() as url, call(url, tracks, edit_offer=around, edit_answer=taken):
        assert abs(peak_hz((await heard(emulator))[1600:-1600], 16_000) - 1000) < 5
