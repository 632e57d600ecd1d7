"""Route packets of media sections that share payload types, which aiortc would drop.

aiortc 1.16 assigns a new source to a section by its payload type alone. Two sections with the same codecs have the
same payload types, and a client need not announce its sources (``a=ssrc``); aiortc then drops the packets. RFC 8843
section 9.2 says to use the packet's mid first, which aiortc reads but does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiortc import RTCRtpTransceiver
from aiortc.rtp import RtpPacket

from agent.media.tap import audio as tap


def route_by_mid(transceivers: Sequence[RTCRtpTransceiver]) -> bool:
    """Route packets by their mid, or else to the first section with their payload type that has no source yet.

    Call this after setRemoteDescription and before media flows. It does nothing if each section is the only one of
    its kind.

    Returns:
        False if this aiortc does not fit; then nothing was changed.
    """
    if tap.why_not() is not None:
        return False
    kinds = [transceiver.kind for transceiver in transceivers]
    if len(set(kinds)) < len(kinds):
        for transport in {transceiver.receiver.transport for transceiver in transceivers}:
            router: Any = transport._rtp_router
            router.route_rtp = _routing(router, transceivers)
    return True


def _routing(router: Any, transceivers: Sequence[RTCRtpTransceiver]) -> Callable[[RtpPacket], Any]:
    """Return the replacement for ``route_rtp`` of an aiortc router, with which sections in use are registered."""
    retransmission = {
        codec.payloadType
        for transceiver in transceivers
        for codec in transceiver._codecs
        if codec.name.lower() == "rtx"
    }

    def route_rtp(packet: RtpPacket) -> Any:
        sources, alike = router.ssrc_table, router.payload_type_table.get(packet.payload_type, ())
        known = sources.get(packet.ssrc)
        if known in alike:
            return known
        found = None
        if packet.extensions.mid is not None:
            found = router.mid_table.get(packet.extensions.mid)
        elif known is None and len(alike) == 1:
            [found] = alike
        elif known is None and packet.payload_type not in retransmission:
            silent = (each.receiver for each in transceivers if each.receiver not in sources.values())
            found = next((receiver for receiver in silent if receiver in alike), None)
        if found not in alike:
            return None
        sources[packet.ssrc] = found
        return found

    return route_rtp
