"""Route the packets of sections that share payload types, where aiortc drops them.

aiortc 1.16 finds the section of a new source by its payload type alone. Two sections with the same codecs have the
same payload types, and a client need not announce its sources (``a=ssrc``): then aiortc drops what comes. RFC 8843
section 9.2 asks the packet for its mid first, which aiortc reads and does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiortc import RTCRtpTransceiver
from aiortc.rtp import RtpPacket

from agent.media.tap import audio as tap


def route_by_mid(transceivers: Sequence[RTCRtpTransceiver]) -> bool:
    """Have packets routed by their mid, then to the first section of their payload type that nothing came for.

    To be called after setRemoteDescription and before media flows. Does nothing where each section is the only one
    of its kind.

    Returns:
        False if this aiortc has no such router; then nothing was changed.
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
    """Return what stands in for ``route_rtp`` of an aiortc router; sections in use are registered there."""
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
