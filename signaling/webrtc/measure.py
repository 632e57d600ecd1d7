"""Read a call's quality figures from its peer connection; see `agent.call.quality`."""

from __future__ import annotations

from typing import Any

from aiortc import RTCPeerConnection

from agent.call.quality import Inbound, Outbound, Quality
from agent.events import QualityEstimated
from agent.media.inbound import InboundAudio

CLOCK_HZ = {"opus": 48_000}
TELEPHONE_CLOCK_HZ = 8_000  # also for G.722 (RFC 3551 section 4.5.2)


async def measure(
    quality: Quality, pc: RTCPeerConnection, audio: InboundAudio | None, codec: str, now: float
) -> QualityEstimated | None:
    """Estimate the quality in the window that has just ended; return None if there is no data.

    Args:
        quality: the call's quality estimator.
        pc: the call's connection.
        audio: the caller's audio.
        codec: the audio codec's name in SDP.
        now: monotonic seconds.
    """
    ticks_per_ms = CLOCK_HZ.get(codec.lower(), TELEPHONE_CLOCK_HZ) / 1000
    reports: dict[str, Any] = {}
    for transceiver in pc.getTransceivers():
        if transceiver.kind == "audio":
            for end in (transceiver.receiver, transceiver.sender):
                reports |= {report.type: report for report in (await end.getStats()).values()}
    came, seen, sent = (reports.get(kind) for kind in ("inbound-rtp", "remote-inbound-rtp", "outbound-rtp"))
    inbound = Inbound(
        received=0 if came is None else came.packetsReceived,
        lost=0 if came is None else came.packetsLost,
        jitter_ms=0.0 if came is None else came.jitter / ticks_per_ms,
    )
    if audio is not None and audio.tapped:  # a packet that came too late counts as lost
        packets = audio.packets()
        inbound = Inbound(packets.received, packets.lost, inbound.jitter_ms)
    if seen is None or sent is None:
        return quality.close_window(inbound, None, None, codec, now)
    outbound = Outbound(sent.packetsSent, seen.packetsLost, seen.jitter / ticks_per_ms, seen.timestamp)
    rtt_ms = None if seen.roundTripTime is None else seen.roundTripTime * 1000
    return quality.close_window(inbound, outbound, rtt_ms, codec, now)
