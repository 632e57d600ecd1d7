"""Connect a peer connection to its call: audio, keys, video, and guards against bad packets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from types import MappingProxyType

from aiortc import RTCPeerConnection, RTCRtpTransceiver

from agent.clock import monotonic
from agent.media import dtmf
from agent.media.inbound import InboundAudio, InboundStats, open_inbound_audio
from agent.media.reorder import ReorderStats
from agent.media.tap import audio as tap
from agent.media.tap.guard import guard
from agent.media.tap.sctp import guard_channels
from agent.media.video import VideoSource, open_inbound_video
from agent.picture import SourceName
from signaling.webrtc import sdp
from signaling.webrtc.leg import PeerLeg
from signaling.webrtc.offered import Offered

logger = logging.getLogger(__name__)

VIDEO_SOURCES: tuple[SourceName, ...] = ("camera", "screen")  # in the order of the offer's video sections
_DIRECTIONS = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}
"""The direction of a transceiver, by whether it sends and whether it receives."""


def choose_directions(leg: PeerLeg, offered: Offered) -> None:
    """Speak on one audio section, listen on one, and watch two video sections; answer ``inactive`` to all others.

    A client sends nothing on inactive sections. Call this between offer and answer.
    """
    for transceiver in leg.pc.getTransceivers():
        if transceiver.kind == "audio":
            speaks, hears = (transceiver.mid == mid for mid in (offered.speaking_mid, offered.hearing_mid))
            transceiver.direction = _DIRECTIONS[speaks, hears]
    wanted = len(VIDEO_SOURCES) if leg.settings.video_fps else 0
    for transceiver in _video(leg.pc)[wanted:]:
        transceiver.direction = "inactive"
    _transceiver(leg.pc, offered.speaking_mid).sender.replaceTrack(leg.call.voice)


def wire_audio(leg: PeerLeg, offered: Offered, answer: str) -> None:
    """Speak and listen with the negotiated codecs.

    Args:
        leg: the call.
        offered: the description of the other side.
        answer: a description whose audio sections have the codecs that both sides support.
    """
    spoken = _section(answer, offered.speaking_mid).payloads()
    leg.codec = next(iter(spoken.values()))
    leg.call.voice.use_codec(leg.codec)
    transceiver = _transceiver(leg.pc, offered.hearing_mid)
    keys = dict.fromkeys(sdp.key_clocks_hz(offered.section(offered.hearing_mid)), dtmf.NAME)
    if transceiver.receiver.track is not None:
        leg.audio = open_inbound_audio(
            transceiver.receiver,
            _section(answer, offered.hearing_mid).payloads() | keys,
            hear=leg.call.hear,
            press=leg.call.press,
            clock=monotonic,
            tap=leg.call.taping.tap,
            capture=leg.call.capture,
        )


def wire_keys(leg: PeerLeg, offered: Offered, own_clocks_hz: Mapping[int, int] = MappingProxyType({})) -> None:
    """Receive and send telephone keys, if the other side does and packets can be tapped.

    Args:
        leg: the call.
        offered: the description of the other side.
        own_clocks_hz: the clocks that we offered, by payload type; the other side sends with these payload types
            (RFC 3264 section 6.1).
    """
    transceiver = _transceiver(leg.pc, offered.speaking_mid)
    keys_hz = sdp.key_clocks_hz(offered.section(offered.speaking_mid))
    if not keys_hz or tap.why_not() is not None:
        return
    clocks_hz = sdp.fitting_clocks_hz(keys_hz, tap.audio_clocks_hz(transceiver))
    payload, clock_hz = next(iter(clocks_hz.items()))
    leg.call.voice.use_events(tap.payload_switch(transceiver, payload), clock_hz)
    tap.negotiate_keys(transceiver, {**clocks_hz, **own_clocks_hz})


def wire_video(leg: PeerLeg, answer: str, worker: Executor) -> None:
    """Watch what the caller shows on the first two video sections.

    Args:
        leg: the call.
        answer: our answer, with the codecs that both sides support.
        worker: makes the pictures.
    """
    settings = leg.settings
    for name, transceiver in zip(VIDEO_SOURCES, _video(leg.pc), strict=False):
        if transceiver.direction == "inactive" or transceiver.receiver.track is None:
            continue
        source = VideoSource(
            name,
            _section(answer, transceiver.mid).payloads(),
            fps=settings.video_fps,
            max_px=settings.video_max_px,
            skip_unchanged=settings.video_skip_unchanged,
            see=leg.call.see,
            worker=worker,
            clock=monotonic,
            capture=leg.call.capture,
        )
        leg.call.videos.append(open_inbound_video(transceiver.receiver, source))


def guard_media(leg: PeerLeg) -> None:
    """Have malformed packets dropped and counted."""
    stats = leg.audio.stats if leg.audio is not None else InboundStats()

    def drop() -> None:
        stats.unreadable += 1

    for transceiver in leg.pc.getTransceivers():
        guard(transceiver.receiver, drop)


def guard_data(leg: PeerLeg) -> None:
    """Close the data channels of a client that sends more over them than it may."""

    def refuse(objection: str) -> None:
        logger.warning("call %s: its data channels are closed: the caller %s", leg.call.call_id, objection)

    guard_channels(leg.pc, refuse)


def audio_to_come(leg: PeerLeg) -> InboundAudio:
    """Return the audio for a call that is not answered yet; after the answer it listens through the leg's own."""
    nothing_yet = InboundStats()

    async def listen() -> None:
        await leg.answered.wait()
        if leg.audio is not None and leg.audio.stats is not nothing_yet:
            await leg.audio.listen()

    return InboundAudio(listen, False, nothing_yet, ReorderStats)


def _video(pc: RTCPeerConnection) -> list[RTCRtpTransceiver]:
    """Return the video sections in the order of the offer."""
    return [transceiver for transceiver in pc.getTransceivers() if transceiver.kind == "video"]


def _transceiver(pc: RTCPeerConnection, mid: str) -> RTCRtpTransceiver:
    return next(transceiver for transceiver in pc.getTransceivers() if transceiver.mid == mid)


def _section(description: str, mid: str | None) -> sdp.MediaSection:
    return next(section for section in sdp.media_sections(description) if section.mid == mid)
