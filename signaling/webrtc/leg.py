"""Legs, which connect callers to calls: what all kinds have in common, and what those on a peer connection have.

The leg of a browser or another client that comes by HTTP is in `signaling.webrtc.client_leg`, those of telephones
are in `signaling.phone`: `SipLeg` is on the gateway's peer connection, `StreamLeg` on a carrier's WebSocket.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiortc import RTCPeerConnection

from agent.call.call import Call
from agent.call.stats import CallStats, media_stats
from agent.clock import monotonic
from agent.events import CallEnded, QualityEstimated
from agent.live.uplink import BYTES_PER_S as UPLINK_BYTES_PER_S
from agent.media.inbound import InboundAudio
from agent.media.tap.arrivals import Arrivals, watch_arrivals
from agent.settings import Settings
from signaling.webrtc.measure import measure
from signaling.webrtc.peer import close_peer
from signaling.webrtc.rates import Rates
from signaling.webrtc.watch import Gone, watch_connection

logger = logging.getLogger(__name__)

CHANNEL_TIMEOUT_S = 5.0
LOST_FOR_GOOD = "The connection to the caller was lost, and no other one came about."


class Leg(Protocol):
    """Carries a call."""

    @property
    def call(self) -> Call:
        """The call."""

    @property
    def rates(self) -> Rates:
        """How much the call's client may still send besides media."""

    async def run(self) -> CallEnded:
        """Hold the call until it has ended; return how it did."""

    async def watch(self, on_connected: Callable[[], None]) -> None:
        """End the call once the caller is gone, or if they never come; return then, or when cancelled.

        Args:
            on_connected: called once the media connection is up.
        """

    async def linger(self, ended: CallEnded) -> None:
        """Stay until the client can be told how the call ended, within reason; the connection is still watched."""

    async def close(self) -> None:
        """Send what is left to send, then release the connection."""

    def describe(self) -> dict[str, Any]:
        """Return the facts about the connection that `GET` on the call shows."""

    def stats(self) -> CallStats:
        """Read the counters of the call."""

    def let_go(self) -> None:
        """Break the reference cycles through the leg and its call, once both are over."""


@dataclass(eq=False)
class PeerLeg:
    """A call on a peer connection; the common part of all such legs.

    Attributes:
        call: the call.
        pc: its peer connection.
        settings: the service's settings.
        audio: the caller's audio; None if the caller only listens.
        answered: set once both descriptions are known.
        reachable: set once the caller has answered a connectivity check; only then is a Live session opened.
        rates: how much the client may still send besides media.
        codec: the audio codec's name in SDP.
    """

    call: Call
    pc: RTCPeerConnection
    settings: Settings
    audio: InboundAudio | None = field(default=None, init=False)
    answered: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    reachable: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    rates: Rates = field(default_factory=Rates, init=False)
    codec: str = field(default="opus", init=False)
    _arrivals: list[Arrivals] | None = field(default=None, init=False)

    async def run(self) -> CallEnded:
        """Hold the call until it has ended; return how it did."""
        return await self.call.run(self.audio, self.reachable)

    async def watch(self, on_connected: Callable[[], None]) -> None:
        """End the call when its connection is gone, or never comes about; see `watch_connection`."""
        await self.answered.wait()
        gone = await self.watch_connection_once(on_connected)
        self.call.hang_up(gone.reason, gone.detail, gone.fault)

    async def linger(self, ended: CallEnded) -> None:
        """Return at once: such a caller cannot be told anything."""

    async def close(self) -> None:
        """Close the peer connection."""
        await close_peer(self.pc)

    def describe(self) -> dict[str, Any]:
        """Return the facts about the connection that `GET` on the call shows."""
        return {"connection": self.pc.connectionState}

    def stats(self) -> CallStats:
        """Read the counters of the call."""
        return call_stats(self.call, self.audio, self.rates)

    def let_go(self) -> None:
        """Break the reference cycles through the leg and its call, once both are over."""
        self.audio = None
        self.call.let_go()

    async def watch_connection_once(self, on_connected: Callable[[], None]) -> Gone:
        def connected() -> None:
            self.reachable.set()
            on_connected()

        self._arrivals = watch_arrivals(self.pc)
        return await watch_connection(
            self.pc,
            self._arrivals,
            self.call,
            self.settings,
            monotonic,
            connected,
            self.confirm_heard,
            self._measure,
        )

    def confirm_heard(self) -> None:
        """Confirm to the voice what must have arrived, because the caller was heard after it had been sent."""
        newest_at = max((each.at for each in self._arrivals or ()), default=monotonic())
        if newest_at > -math.inf:
            self.call.voice.confirm(monotonic() - newest_at)

    async def _measure(self, now: float) -> QualityEstimated | None:
        return await measure(self.call.quality, self.pc, self.audio, self.codec, now)


def call_stats(call: Call, audio: InboundAudio | None, rates: Rates) -> CallStats:
    """Return the counters that all kinds of calls have.

    Args:
        call: the call.
        audio: the caller's audio.
        rates: limits what the client sends, and counts what it refused.
    """
    live = call.live
    stats = media_stats(audio, call.voice, call.videos)
    stats.uplink_dropped_s = live.uplink.dropped_bytes / UPLINK_BYTES_PER_S
    stats.uplink_replaced_pictures = live.uplink.replaced_pictures
    stats.unreadable_messages = live.unreadable_messages
    stats.sessions, stats.outage_s, stats.replayed_s = live.sessions, live.outage_s, live.replayed_audio_s
    stats.left_unanswered, stats.observer_errors = call.conversation.unanswered, call.observers.errors
    stats.messages_refused, stats.keys_dropped = rates.refused, call.hearing.keys_dropped
    return stats
