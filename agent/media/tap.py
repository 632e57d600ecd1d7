"""Take a caller's RTP packets out of aiortc before its jitter buffer.

aiortc 1.16 delays audio by 80 ms, by 280 ms for the rest of the call once a packet was lost, and deletes what its
buffer has no room for. There is no public way around it, so one attribute of one receiver is replaced: the buffer
itself, by an object with the same `add`. RTCP, statistics, routing and closing stay aiortc's; its decoder thread
exists and sleeps. This is the only place with private names of aiortc; `why_not` says why it cannot be used,
and the public frames (`agent.media.inbound.listen_to_frames`) serve then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from aiortc import RTCRtpReceiver, RTCRtpTransceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

AIORTC_SERIES = "1.16."
_BUFFER = "_RTCRtpReceiver__jitter_buffer"


def why_not(receiver: RTCRtpReceiver | None = None) -> str | None:
    """Return why the tap cannot be used, or None if it can.

    Args:
        receiver: look at this one too.
    """
    installed = version("aiortc")
    if not installed.startswith(AIORTC_SERIES):
        return f"aiortc {installed} is not {AIORTC_SERIES}x"
    if not callable(getattr(JitterBuffer, "add", None)):
        return "aiortc's JitterBuffer has no add"
    if receiver is not None and not isinstance(getattr(receiver, _BUFFER, None), JitterBuffer | _Tap):
        return "aiortc's receiver has no jitter buffer where it was"
    return None


def tap_audio(receiver: RTCRtpReceiver, on_packet: Callable[[RtpPacket], None]) -> bool:
    """Have every RTP packet of a receiver handed to ``on_packet`` as it comes.

    To be called after setRemoteDescription and before media flows. The receiver's track then has no frames.

    Returns:
        False if this aiortc cannot be tapped; then nothing was changed.
    """
    if why_not(receiver) is not None:
        return False
    setattr(receiver, _BUFFER, _Tap(on_packet))
    return True


def negotiate_keys(transceiver: RTCRtpTransceiver, clocks_hz: Mapping[int, int]) -> None:
    """Add a telephone's keys (RFC 4733) to what was negotiated; aiortc itself knows nothing of them.

    To be called right after setRemoteDescription: before createAnswer, or before the connection comes about. Only
    where `tap_audio` works, since aiortc would decode them as audio.

    Args:
        transceiver: of the audio.
        clocks_hz: the RTP clock of ``telephone-event`` by payload type, as the other side said.
    """
    transceiver._codecs += [
        RTCRtpCodecParameters("audio/telephone-event", clock_hz, payloadType=payload, parameters={"0-15": None})
        for payload, clock_hz in clocks_hz.items()
    ]


def payload_switch(transceiver: RTCRtpTransceiver, event_payload: int) -> Callable[[bool], None]:
    """Return a function that has the next packets of the sender go out as events (True) or as audio (False).

    aiortc's sender reads its payload type anew for each packet, from the first codec that was negotiated.
    """
    codec = transceiver._codecs[0]
    audio_payload = codec.payloadType

    def switch(events: bool) -> None:
        codec.payloadType = event_payload if events else audio_payload

    return switch


class _Tap:
    """Stands in for `aiortc.jitterbuffer.JitterBuffer`: takes packets, never has a frame."""

    def __init__(self, on_packet: Callable[[RtpPacket], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, Any]:
        self._on_packet(packet)
        return False, None
