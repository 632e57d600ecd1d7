"""The leg of a browser or another client that comes by HTTP, and how it changes from one connection to another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from aiortc import RTCDataChannel
from aiortc.sdp import candidate_from_sdp

from agent.call.stats import CallStats, inbound_stats
from agent.clock import monotonic
from agent.errors import OfferError
from agent.events import CallEnded
from agent.isolate import isolated_async
from agent.media.playout import VOICE_RATE_HZ
from signaling.webrtc.candidates import CandidateGate
from signaling.webrtc.leg import PeerLeg
from signaling.webrtc.peer import close_peer
from signaling.webrtc.sdp import DEFAULT_MESSAGE_BYTES
from signaling.webrtc.trickle import Fragment
from signaling.webrtc.watch import Gone

logger = logging.getLogger(__name__)

CHANNEL_TIMEOUT_S = 5.0
LOST_FOR_GOOD = "The connection to the caller was lost, and no other one came about."


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


class MovingDialect(Protocol):
    """A dialect that can go on over the data channel of another connection."""

    def leave_channel(self) -> None:
        """Keep what is to be sent, and what the client may not have received, because the connection is left."""

    def use_channel(self, channel: RTCDataChannel) -> None:
        """Go on over this channel."""


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
        ticket_id: names the client secret that the call was made with; None if there was none.
        wish: what the offer asked for besides its SDP, for the dialect that understands it; None for nothing.
        moving: the dialects that can go on over another connection, by the label of their data channel.
    """

    etag: str
    ufrags: frozenset[str]
    gate: CandidateGate
    opens_channel: bool
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES
    messages: MessageCounts = field(default_factory=MessageCounts)
    channel_settled: asyncio.Event = field(default_factory=asyncio.Event)
    last_messages: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    ticket_id: str | None = None
    wish: object = None
    moving: dict[str, MovingDialect] = field(default_factory=dict)
    _before: CallStats = field(default_factory=CallStats, init=False)  # of former connections
    _leaving: bool = field(default=False, init=False)  # another connection is being negotiated
    _joined: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _closing: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.call.playout.rewinds = True

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
        """End the call when its connection is gone and no other one takes its place within `ice_grace_s`."""
        await self.answered.wait()
        heard_at: float | None = None
        while True:
            pc = self.pc
            gone = await self.watch_connection_once(on_connected)
            if gone.heard_at is None and heard_at is not None:
                gone = replace(gone, reason="ice_lost", detail=LOST_FOR_GOOD)
            heard_at = gone.heard_at or heard_at
            if pc is self.pc and not await self._joins(gone, heard_at):
                break
        self.call.hang_up(gone.reason, gone.detail, gone.fault)
        self.channel_settled.set()

    async def _joins(self, gone: Gone, heard_at: float | None) -> bool:
        """Wait for another connection in place of one that is gone; return False if none comes."""
        if heard_at is None or (gone.reason == "caller_left" and not self._leaving):
            return False
        self._joined.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(heard_at + self.settings.ice_grace_s - monotonic()):
                await self._joined.wait()
                return True
        return False

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Take the call off its connection while another one is negotiated, which `use_connection` ends.

        The agent falls silent, and will say again what the caller cannot have received.

        Raises:
            OfferError: 409, another one is being negotiated already.
        """
        if self._leaving:
            raise OfferError(409, "already_joining", "Another connection of this call is being negotiated.")
        self._leaving = True
        try:
            self._leave_connection()
            yield
        finally:
            self._leaving = False

    def _leave_connection(self) -> None:
        self.confirm_heard()
        for sender in self.pc.getSenders():
            if sender.track is self.call.voice:
                sender.replaceTrack(None)
        said_again_s = self.call.voice.rewind() / VOICE_RATE_HZ
        logger.info("call %s: another connection; %.1f s are said again", self.call.call_id, said_again_s)
        for dialect in self.moving.values():
            dialect.leave_channel()
        self._before.add(inbound_stats(self.audio, self.call.videos))
        self.audio = None
        self.call.videos.clear()

    def use_connection(self, other: ClientLeg) -> None:
        """Go on over another leg's connection, which was negotiated for the same call; close the former one."""
        former = self.pc
        self.pc, self.audio, self.codec, self.gate = other.pc, other.audio, other.codec, other.gate
        self.etag, self.ufrags, self.max_message_bytes = other.etag, other.ufrags, other.max_message_bytes
        self.call.quality.restart()
        if self.call.taping.tap is not None:
            self.call.taping.tap.restarted()
        self.call.hear_and_see(self.audio)
        self._joined.set()
        closing = asyncio.create_task(close_peer(former), name=f"close-former-{self.call.call_id}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

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
        await asyncio.gather(*self._closing)

    def stats(self) -> CallStats:
        """Return the counters of the call and of its data channel."""
        stats = super().stats()
        stats.add(self._before)
        stats.messages_shortened = self.messages.shortened
        stats.messages_dropped = self.messages.dropped
        stats.messages_failed = self.messages.failed
        return stats

    def let_go(self) -> None:
        """Break the reference cycles through the leg and its call, once both are over."""
        self.last_messages.clear()
        self.moving.clear()
        super().let_go()
