"""Take a caller's RTP packets out of aiortc before its jitter buffer.

aiortc 1.16 delays audio by 80 ms, or by 280 ms for the rest of the call once a packet is lost, and deletes packets
for which its buffer has no room. There is no public way around this, so one attribute of one receiver is replaced:
the buffer itself, by an object with the same `add`. aiortc still does RTCP, statistics, routing and closing; its
decoder thread exists but sleeps. If the tap cannot be used, `why_not` says why, and the public frames are used
instead (`agent.media.inbound.FrameInlet`).

From a stream's second packet on there is a shortcut: the packet is decrypted and passed on right where the datagram
arrives, instead of waiting in a queue for a task that parses and routes it. What other code reads is kept up to
date: the stream's statistics, which aiortc sends as receiver reports, and the transport's counters. aiortc's own
path leads to the same `add`, and is used whenever there is no shortcut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

import aiortc.rtp
from aiortc import RTCRtpReceiver, RTCRtpTransceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from pylibsrtp import Error as SrtpError

from agent.media import dtmf
from agent.media.rtp import HEADER_BYTES, RtpPacket, parse_rtp
from agent.media.tap.arrivals import arrivals_of

version = cache(metadata.version)  # each uncached call reads the package's files and leaves a reference cycle
AIORTC_SERIES = "1.16."
AIOICE_SERIES = "0.13."
_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_STREAMS = "_RTCRtpReceiver__remote_streams"
_RX_PACKETS, _RX_BYTES = "_RTCDtlsTransport__rx_packets", "_RTCDtlsTransport__rx_bytes"

OnPacket = Callable[[RtpPacket], None]


def why_not(receiver: RTCRtpReceiver | None = None) -> str | None:
    """Return why the tap cannot be used, or None if it can.

    Args:
        receiver: a receiver to check as well.
    """
    installed = version("aiortc")
    if not installed.startswith(AIORTC_SERIES):
        return f"aiortc {installed} is not {AIORTC_SERIES}x"
    if not callable(getattr(JitterBuffer, "add", None)):
        return "aiortc's JitterBuffer has no method add"
    if receiver is not None and not isinstance(getattr(receiver, _BUFFER, None), JitterBuffer | _Tap):
        return "aiortc's receiver has no jitter buffer in the expected place"
    return None


def keep_payload_types() -> None:
    """Make aiortc answer every codec with the payload type that was offered.

    By default it does so only from 96 on. But a codec may be offered with any unused number below that as well (RFC
    5761 section 4), and browsers do so when they run out of others.
    """
    aiortc.rtp.DYNAMIC_PAYLOAD_TYPES = range(128)


def tap_audio(receiver: RTCRtpReceiver, on_packet: OnPacket) -> bool:
    """Pass every RTP packet of a receiver to ``on_packet`` as it arrives.

    Call this after setRemoteDescription and before media flows. The receiver's track then has no frames.

    Returns:
        False if this aiortc cannot be tapped; then nothing was changed.
    """
    if why_not(receiver) is not None:
        return False
    setattr(receiver, _BUFFER, _Tap(on_packet))
    _take_shortcut(receiver, on_packet)
    return True


def negotiate_keys(transceiver: RTCRtpTransceiver, clocks_hz: Mapping[int, int]) -> None:
    """Add telephone keys (RFC 4733), which aiortc does not know, to what was negotiated.

    Call this right after setRemoteDescription, before createAnswer or before the connection is made; and only if
    `tap_audio` works, because otherwise aiortc would decode the keys as audio.

    Args:
        transceiver: the audio transceiver.
        clocks_hz: the RTP clock of ``telephone-event`` for each payload type, as the other side gave it.
    """
    transceiver._codecs += [
        RTCRtpCodecParameters("audio/telephone-event", clock_hz, payloadType=payload, parameters={"0-15": None})
        for payload, clock_hz in clocks_hz.items()
    ]


def audio_clocks_hz(transceiver: RTCRtpTransceiver) -> list[int]:
    """Return the RTP clocks of the negotiated codecs, beginning with the one that is sent."""
    return [codec.clockRate for codec in transceiver._codecs]


Switch = Callable[[dtmf.Part | None], None]


def payload_switch(transceiver: RTCRtpTransceiver, event_payload: int) -> Switch:
    """Return a function that sets what the sender's next packet is: part of a key, or audio (None).

    It works because aiortc's sender reads the payload type of the first negotiated codec again for each packet.
    """
    codec = transceiver._codecs[0]
    payloads = {None: codec.payloadType, "first": event_payload, "further": _Unmarked(event_payload)}

    def switch(part: dtmf.Part | None) -> None:
        codec.payloadType = payloads[part]

    return switch


class _Unmarked(int):
    """A payload type for packets without the marker.

    aiortc sets the marker on all packets, while RFC 4733 section 2.2 wants it on a key's first packet only. aiortc
    combines the two in one byte as ``marker << 7 | payload_type``.
    """

    def __ror__(self, marker: int) -> int:
        return int(self)


class _Tap:
    """Replaces `aiortc.jitterbuffer.JitterBuffer`: takes packets but never returns a frame."""

    def __init__(self, on_packet: OnPacket) -> None:
        self._on_packet = on_packet

    def add(self, packet: aiortc.rtp.RtpPacket) -> tuple[bool, Any]:
        self._on_packet(
            RtpPacket(
                packet.payload_type,
                packet.marker,
                packet.sequence_number,
                packet.timestamp,
                packet.ssrc,
                packet.payload,
            )
        )
        return False, None


def _take_shortcut(receiver: Any, on_packet: OnPacket) -> bool:
    """Replace ``data_received`` of the receiver's ICE connection; return False if that is not possible."""
    transport = receiver.transport
    connection: Any = getattr(transport.transport, "_connection", None)
    streams: Any = getattr(receiver, _STREAMS, None)
    the_long_way: Any = getattr(connection, "data_received", None)
    arrivals = arrivals_of(transport)
    expected = all(hasattr(transport, name) for name in ("_rx_srtp", _RX_PACKETS, _RX_BYTES))
    if streams is None or the_long_way is None or arrivals is None:
        return False
    if not expected or not version("aioice").startswith(AIOICE_SERIES):
        return False

    def data_received(data: bytes, component: int) -> None:
        """Take a datagram other than STUN: DTLS, SRTP or SRTCP (RFC 7983)."""
        stream = None
        if len(data) >= HEADER_BYTES and 127 < data[0] < 192 and not 192 <= data[1] <= 208:
            # Since its first packet aiortc knows the stream, and the router has assigned it to this receiver.
            stream = streams.get(int.from_bytes(data[8:12], "big"))
        if stream is None or not receiver._enabled:
            the_long_way(data, component)
            return
        setattr(transport, _RX_PACKETS, getattr(transport, _RX_PACKETS) + 1)
        setattr(transport, _RX_BYTES, getattr(transport, _RX_BYTES) + len(data))
        try:
            packet = parse_rtp(transport._rx_srtp.unprotect(data))
        except (SrtpError, ValueError):
            return  # forged, duplicated, or too long
        arrivals.count()
        if packet is not None:
            stream.add(packet)
            on_packet(packet)

    connection.data_received = data_received
    return True
