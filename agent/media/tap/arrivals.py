"""Count the packets that really came from a call's peer, that is, those that were authenticated.

aiortc's own counters include whatever reaches the transport, so that anybody who sends from the caller's address
could keep a dead call alive. Here a packet counts only once SRTP or DTLS has authenticated it. The names used are
private; each is looked up before it is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiortc import RTCPeerConnection

from agent.clock import monotonic

_RTP, _RTCP, _DATA = "_handle_rtp_data", "_handle_rtcp_data", "_handle_data"
_ARRIVALS = "_talkspurt_arrivals"
_DTLS_TRANSPORTS = "_RTCPeerConnection__dtlsTransports"


@dataclass(slots=True)
class Arrivals:
    """What arrived over one transport.

    Attributes:
        packets: authenticated packets: RTP, RTCP and SCTP.
        at: when the newest came, in monotonic seconds.
    """

    packets: int = 0
    at: float = -math.inf

    def count(self) -> None:
        """Count a packet that has just come."""
        self.packets += 1
        self.at = monotonic()


def arrivals_of(transport: Any) -> Arrivals | None:
    """Return a DTLS transport's count, which starts with the first call; None if this aiortc does not fit."""
    found: Arrivals | None = getattr(transport, _ARRIVALS, None)
    if found is None and all(hasattr(transport, name) for name in (_RTP, _RTCP)):
        found = Arrivals()
        setattr(transport, _ARRIVALS, found)
        _count(transport, _RTP, found)  # aiortc calls them with what it has decrypted
        _count(transport, _RTCP, found)
    return found


def watch_arrivals(pc: RTCPeerConnection) -> list[Arrivals] | None:
    """Return the counts of all transports of a peer connection; None if this aiortc does not fit."""
    found = [arrivals_of(transport) for transport in getattr(pc, _DTLS_TRANSPORTS, ())]
    counts = [each for each in found if each is not None]
    if not counts or len(counts) < len(found):
        return None
    if pc.sctp is not None and hasattr(pc.sctp, _DATA):
        _count(pc.sctp, _DATA, counts[0])
    return counts


def _count(owner: Any, name: str, arrivals: Arrivals) -> None:
    """Count the calls of a method that takes packets."""
    take: Callable[..., Awaitable[None]] = getattr(owner, name)

    async def take_and_count(data: bytes, **named: Any) -> None:
        arrivals.count()
        await take(data, **named)

    setattr(owner, name, take_and_count)
