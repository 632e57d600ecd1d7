"""Take a caller's video packets out of aiortc before it decodes them, and request key frames from the caller.

aiortc 1.16 decodes all video in a thread per track, and if nobody reads a track its frames pile up without limit.
As for audio (`agent.media.tap.audio`), one attribute of one receiver is replaced: its jitter buffer, by an object
with the same `add` that never returns a frame. Nothing is then decoded or queued. aiortc still does RTX, RTCP and
closing, and also NACK, but see `BoundedNacks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RTP_HISTORY_SIZE, RtpPacket

from agent.media.tap import audio as tap

_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_NACKS = "_RTCRtpReceiver__nack_generator"
_SEND_PLI = "_send_rtcp_pli"

OnPacket = Callable[[RtpPacket, bytes], None]
"""Takes a packet and what it adds to its frame (VP8 without descriptor, H.264 as Annex B); must not raise."""


def why_not_video(receiver: RTCRtpReceiver | None = None) -> str | None:
    """Return why video cannot be tapped, or None if it can.

    Args:
        receiver: a receiver to check as well.
    """
    reason = tap.why_not()
    if reason is not None:
        return reason
    if not inspect.iscoroutinefunction(getattr(RTCRtpReceiver, _SEND_PLI, None)):
        return f"aiortc's receiver has no {_SEND_PLI}"
    if receiver is not None and not isinstance(getattr(receiver, _BUFFER, None), JitterBuffer | VideoTap):
        return "aiortc's receiver has no jitter buffer in the expected place"
    return None


def tap_video(receiver: RTCRtpReceiver, on_packet: OnPacket) -> VideoTap | None:
    """Pass every video packet of a receiver to ``on_packet`` as it arrives.

    Call this after setRemoteDescription and before media flows. The receiver's track then has no frames.

    Returns:
        None if this aiortc cannot be tapped; then nothing was changed.
    """
    if why_not_video(receiver) is not None:
        return None
    tapped = VideoTap(receiver, on_packet)
    setattr(receiver, _BUFFER, tapped)
    if isinstance(getattr(receiver, _NACKS, None), NackGenerator):
        setattr(receiver, _NACKS, BoundedNacks())
    return tapped


class BoundedNacks(NackGenerator):
    """Requests the same packets as aiortc's class, without first listing up to 32,767 that it would not request."""

    def add(self, packet: RtpPacket) -> bool:
        """Take a packet; return True if packets are missing before it."""
        if (
            self.max_seq is not None
            and RTP_HISTORY_SIZE < (packet.sequence_number - self.max_seq) & 0xFFFF < 0x8000
        ):
            self.missing.clear()
            self.max_seq = (packet.sequence_number - RTP_HISTORY_SIZE - 1) & 0xFFFF
        return super().add(packet)


class VideoTap:
    """Replaces `aiortc.jitterbuffer.JitterBuffer`: takes packets but never returns a frame."""

    def __init__(self, receiver: RTCRtpReceiver, on_packet: OnPacket) -> None:
        self.ssrc: int | None = None
        "SSRC of the newest packet."
        self._receiver = receiver
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, Any]:
        """Take a packet from aiortc, with retransmissions unwrapped and the payload descriptor parsed."""
        self.ssrc = packet.ssrc
        self._on_packet(packet, packet._data)  # type: ignore[attr-defined]
        return False, None

    async def request_key_frame(self) -> None:
        """Send a Picture Loss Indication (RFC 4585 section 6.3.1) for the newest source, if there is one."""
        if self.ssrc is not None:
            await getattr(self._receiver, _SEND_PLI)(self.ssrc)
