"""Legs, which connect callers to calls: what all kinds have in common, and those on a peer connection.

`ClientLeg` is a browser or another client that comes by HTTP. The legs of telephones are in `signaling.phone`:
`SipLeg` comes through the gateway's peer connection, `StreamLeg` over a carrier's WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiortc import RTCPeerConnection
from aiortc.sdp import candidate_from_sdp

from agent.call.call import Call
from agent.call.stats import CallStats, media_stats
from agent.clock import monotonic
from agent.events import CallEnded, QualityEstimated
from agent.isolate import isolated_async
from agent.live.uplink import BYTES_PER_S as UPLINK_BYTES_PER_S
from agent.media.inbound import InboundAudio
from agent.settings import Settings
from signaling.webrtc.candidates import CandidateGate
from signaling.webrtc.measure import measure
from signaling.webrtc.peer import close_peer
from signaling.webrtc.rates import Rates
from signaling.webrtc.sdp import DEFAULT_MESSAGE_BYTES
from signaling.webrtc.trickle import Fragment
from signaling.webrtc.watch import watch_connection

CHANNEL_TIMEOUT_S = 5.0


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

    async def run(self) -> CallEnded:
        """Hold the call until it has ended; return how it did."""
        return await self.call.run(self.audio, self.reachable)

    async def watch(self, on_connected: Callable[[], None]) -> None:
        """End the call when its connection is gone, or never comes about; see `watch_connection`."""

        def connected() -> None:
            self.reachable.set()
            on_connected()

        await self.answered.wait()
        await watch_connection(self.pc, self.call, self.settings, monotonic, connected, self._measure)

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

    async def _measure(self, now: float) -> QualityEstimated | None:
        return await measure(self.call.quality, self.pc, self.audio, self.codec, now)


@dataclass(slots=True)
class MessageCounts:
    """Counts of messages on the data channel that did not get through unchanged.

    Attributes:
        shortened: messages that were shortened because they were too long for the client.
        dropped: messages that the client never gets, because it does not read or they cannot be shortened enough.
        failed: messages from the client that the service failed to process.
    """

    shortened: int = 0
    dropped: int = 0
    failed: int = 0


@dataclass(eq=False, kw_only=True)
class ClientLeg(PeerLeg):
    """The call of a client that came by HTTP, which may trickle candidates and open a data channel.

    Attributes:
        etag: identifies the ICE generation (RFC 9725 section 4.4), including the quotes.
        ufrags: ICE user name fragments of the offer, to tell a restart from a trickle.
        gate: admits the caller's candidates.
        opens_channel: the offer has a data channel, so the client can be told why the call ended early.
        max_message_bytes: the longest message that the client takes on its data channel.
        messages: counts what went wrong on the data channel.
        channel_settled: set once a dialect has taken over the data channel, or none ever will.
        last_messages: awaited before the peer connection closes, so that the last messages are sent.
    """

    etag: str
    ufrags: frozenset[str]
    gate: CandidateGate
    opens_channel: bool
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES
    messages: MessageCounts = field(default_factory=MessageCounts)
    channel_settled: asyncio.Event = field(default_factory=asyncio.Event)
    last_messages: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def trickle(self, fragment: Fragment) -> None:
        """Pass on the trickled candidates that are usable: see `CandidateGate`.

        The end of candidates is not passed on: without any candidates, aioice would give up before the caller's
        checks arrive.
        """
        for trickled in fragment.candidates:
            text = trickled.candidate.removeprefix("candidate:")
            mid = self.gate.leading.get(trickled.mid)
            if mid is not None and self.gate.admit(mid, text):
                candidate = candidate_from_sdp(text)
                candidate.sdpMid = mid
                await self.pc.addIceCandidate(candidate)

    async def watch(self, on_connected: Callable[[], None]) -> None:
        """End the call when its connection is gone, or never comes about."""
        await super().watch(on_connected)
        self.channel_settled.set()

    async def linger(self, ended: CallEnded) -> None:
        """Wait for the data channel to open, so that a call that failed at once can tell its client why."""
        if ended.reason in ("live_refused", "live_lost") and self.opens_channel:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHANNEL_TIMEOUT_S):
                    await self.channel_settled.wait()

    async def close(self) -> None:
        """Send the last messages, then close the peer connection."""
        for finish in self.last_messages:
            await isolated_async(f"call {self.call.call_id}: its last messages", finish)
        await super().close()

    def stats(self) -> CallStats:
        """Return the counters of the call and of its data channel."""
        stats = super().stats()
        stats.messages_shortened = self.messages.shortened
        stats.messages_dropped = self.messages.dropped
        stats.messages_failed = self.messages.failed
        return stats

    def let_go(self) -> None:
        """Break the reference cycles through the leg and its call, once both are over."""
        self.last_messages.clear()
        super().let_go()


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
