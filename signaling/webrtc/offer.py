"""Negotiate calls: the only way in, whether a client, a gateway or the service itself makes the offer."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError

from agent.call.call import Call
from agent.call.kept import KeptCall
from agent.call.setup import AgentSetup
from agent.call.trace import begin_trace
from agent.clock import monotonic
from agent.dialog.prices import Prices, price_of
from agent.errors import OfferError
from agent.isolate import isolated
from agent.live.session import LiveClient
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.media.tap import route as tap_route
from agent.replay.encode import header_of
from agent.settings import Settings
from agent.tools.declare import Tool
from agent.unicode import valid_text
from signaling.http.ice import GATHERING_S, checked_networks, own_servers
from signaling.http.tokens import new_call_id
from signaling.webrtc.calls import Calls, unknown_call
from signaling.webrtc.candidates import EVERYWHERE, CandidateGate
from signaling.webrtc.client_leg import ClientLeg
from signaling.webrtc.leg import PeerLeg
from signaling.webrtc.offered import Offered, read_offer
from signaling.webrtc.peer import close_peer
from signaling.webrtc.sdp import KEYS_CLOCKS_HZ
from signaling.webrtc.sdp_edits import with_keys, with_opus_wishes
from signaling.webrtc.wiring import (
    audio_to_come,
    choose_directions,
    guard_data,
    guard_media,
    wire_audio,
    wire_keys,
    wire_video,
)

logger = logging.getLogger(__name__)

NEGOTIATION_TIMEOUT_S = 10.0  # gathering candidates may ask a STUN server
FRAME_S = 0.02

AIORTC_ERRORS = (InternalError, InvalidAccessError, InvalidStateError, OperationError)
SDP_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError, *AIORTC_ERRORS)
"""What aiortc raises for a description that it cannot use."""


@dataclass(frozen=True, slots=True)
class ServiceAgent:
    """The agent that answers the calls of this service.

    Attributes:
        client: the Live API client.
        tools: the tools that the model may call.
        offline_demo: True if the Live server is the local emulator.
        prices: the prices of tokens.
        greeting: what the agent says first; None lets the caller begin.
    """

    client: LiveClient
    tools: Sequence[Tool]
    offline_demo: bool
    prices: Prices
    greeting: str | None = None


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call has in addition to what all calls have in common.

    Attributes:
        tools: further tools that the model may call.
        instruction: added to the system instruction.
        caller: who is calling, if known: untrusted.
        telephone: the caller is on a telephone: the line is noisy, and nothing there marks where speech begins and
            ends.
        kept: an earlier call that this one continues.
        key: the name of the key that it came with, see `signaling.http.tokens.key_name`; None if there was none.
        traceparent: the ``traceparent`` header that it came with: untrusted.
        record: whether it is recorded; None leaves that to the agent and the settings.
        settings: settings that replace the service's own.
        metadata: what the application says about the caller, for tools.
        ticket_id: names the client secret that it came with; None if there was none.
        wish: what it asked for, for the dialect that understands it; None for nothing.
    """

    tools: Sequence[Tool] = ()
    instruction: str = ""
    caller: str | None = None
    telephone: bool = False
    kept: KeptCall | None = None
    key: str | None = None
    traceparent: str = ""
    record: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    ticket_id: str | None = None
    wish: object = None


NO_OPTIONS = CallOptions()
Dialect = Callable[[ClientLeg, RTCDataChannel], None]
"""Takes over a call's data channel: reads from it, and writes to it what it observes of the call."""
AnyLeg = TypeVar("AnyLeg", bound=PeerLeg)
MakeLeg = Callable[[Call, RTCPeerConnection], AnyLeg]
"""Makes the leg of a call on a peer connection that is about to be negotiated."""


class Negotiator:
    """Negotiate the calls of one service: answer offers, and make them.

    Args:
        settings: the service's settings.
        agent: answers the calls.
        calls: owns the calls.
        dialects: the dialects, by data channel label.
    """

    def __init__(self, settings: Settings, agent: ServiceAgent, calls: Calls, dialects: dict[str, Dialect]) -> None:
        self._settings = settings
        self._agent = agent
        self._calls = calls
        self._dialects = dialects
        self._networks = checked_networks(settings)
        tap.keep_payload_types()

    async def accept_offer(
        self, offer: str, options: CallOptions = NO_OPTIONS, address: str | None = None
    ) -> tuple[str, ClientLeg]:
        """Answer a client's offer and start its call.

        Args:
            offer: the client's SDP: untrusted.
            options: what this call has in addition.
            address: the address that the offer came from, used to share the room for calls fairly.

        Returns:
            The answer's SDP and the running call.

        Raises:
            OfferError: 400, 422, 429 or 503; nothing was started.
        """
        offered_at = monotonic()
        self._calls.admission.check_budget(options.key)
        with self._calls.admission.slot(address, bounded=True) as slot:
            gate = CandidateGate(self._networks, self._calls.candidates_ignored)
            offered = read_offer(offer, gate.admit)
            gate.leading = offered.leading

            make_leg = partial(self._client_leg, offered, gate, options)
            async with self._negotiating_answer(options, make_leg, one_transport=offered.one_transport) as leg:
                self._await_channel(leg, leg.pc)
                answer = await self._answer(leg, offered, offered_at)
                self._calls.start(leg, slot)
            return answer, leg

    async def rejoin(self, offer: str, leg: ClientLeg) -> str:
        """Answer an offer that connects a client anew to its running call; the former connection is closed.

        The call and its Live session go on. What the agent said and the client cannot have received is said again.

        Args:
            offer: the client's SDP: untrusted.
            leg: the call.

        Returns:
            The answer's SDP.

        Raises:
            OfferError: 400, 409, 422 or 503. If the offer itself cannot be used, the former connection stays.
        """
        gate = CandidateGate(self._networks, self._calls.candidates_ignored)
        offered = read_offer(offer, gate.admit)
        gate.leading = offered.leading
        with leg.joining():
            pc = self._new_connection(one_transport=offered.one_transport)
            fresh = self._client_leg(offered, gate, NO_OPTIONS, leg.call, pc)
            self._await_channel(leg, pc)
            try:
                with _refusing_unusable_sdp():
                    async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                        answer = await self._answer(fresh, offered, monotonic())
            except BaseException as error:
                await _discard(pc)
                if isinstance(error, TimeoutError):
                    raise OfferError(503, "negotiation_timeout", "The offer took too long to answer.") from None
                raise
            if leg.call.ended is not None:  # meanwhile
                await _discard(pc)
                raise unknown_call()
            leg.use_connection(fresh)
        return answer

    async def accept_gateways_offer(
        self, offer: str, options: CallOptions, make_leg: MakeLeg[AnyLeg]
    ) -> tuple[str, AnyLeg]:
        """Answer an offer from the operator's own gateway, and start its call.

        Its candidates may be on any network, and the limit on unconnected calls does not apply: the gateway vouches
        for its callers.

        Args:
            offer: the gateway's SDP: untrusted.
            options: what this call has in addition.
            make_leg: makes the leg of the call.

        Returns:
            The answer's SDP and the running call.

        Raises:
            OfferError: 400, 422, 429 or 503; nothing was started.
        """
        offered_at = monotonic()
        self._calls.admission.check_budget(options.key)
        with self._calls.admission.slot(None, bounded=False) as slot:
            gate = CandidateGate(EVERYWHERE, self._calls.candidates_ignored)
            offered = read_offer(offer, gate.admit)
            async with self._negotiating_answer(options, make_leg, one_transport=offered.one_transport) as leg:
                answer = await self._answer(leg, offered, offered_at)
                self._calls.start(leg, slot)
            return answer, leg

    async def make_offer(self, options: CallOptions, make_leg: MakeLeg[AnyLeg]) -> tuple[str, AnyLeg]:
        """Make an offer and start its call; `take_answer` connects it.

        The Live session is set up while the callee's telephone rings, so that the callee's first word is heard.

        Args:
            options: what this call has in addition.
            make_leg: makes the leg of the call.

        Returns:
            The offer's SDP and the running call.

        Raises:
            OfferError: 429 or 503.
        """
        self._calls.admission.check_budget(options.key)
        with self._calls.admission.slot(None, bounded=False) as slot:
            late = "The offer took too long to make."
            async with self._negotiating(options, make_leg, one_transport=True, late=late) as leg:
                leg.pc.addTransceiver(leg.call.voice, direction="sendrecv")
                offer = await leg.pc.createOffer()
                text = offer.sdp if tap.why_not() else with_keys(offer.sdp)
                await self._set_local(leg.pc, RTCSessionDescription(text, "offer"))
                leg.audio = audio_to_come(leg)
                leg.reachable.set()
                self._calls.start(leg, slot)
            return leg.pc.localDescription.sdp, leg

    async def take_answer(self, leg: PeerLeg, answer: str) -> None:
        """Connect a call that `make_offer` started.

        Args:
            leg: the call.
            answer: the other side's SDP: untrusted.

        Raises:
            OfferError: 400, 422 or 503: the answer cannot be used, and the call should be hung up.
        """
        leg.call.timeline.reach("offer", monotonic())  # the time before this is the callee's, not ours
        answered = read_offer(answer)
        try:
            with _refusing_unusable_sdp():
                async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                    await leg.pc.setRemoteDescription(RTCSessionDescription(answered.for_aiortc(), "answer"))
                wire_keys(leg, answered, KEYS_CLOCKS_HZ)
                agreed = answered.for_aiortc()
                wire_audio(leg, answered, agreed if tap.why_not() else with_keys(agreed))
                guard_media(leg)
        except TimeoutError:
            raise OfferError(503, "negotiation_timeout", "The answer took too long to use.") from None
        leg.call.timeline.reach("answer", monotonic())
        leg.answered.set()

    def new_call(self, options: CallOptions = NO_OPTIONS) -> Call:
        """Make a call for this service's agent; it does not run yet."""
        call_id, recording, announcement = new_call_id(), None, None
        if self._settings.record if options.record is None else options.record:
            recording = self._calls.recorder.begin(call_id)
            announcement = self._settings.record_announcement
        setup = AgentSetup.of(
            self._settings.of_agent(options.settings) if options.settings else self._settings,
            (*self._agent.tools, *options.tools),
            greeting=self._agent.greeting,
            announcement=announcement,
            instruction=options.instruction,
            telephone=options.telephone,
        )
        caller = None if options.caller is None else valid_text(options.caller)
        phase_s = random.uniform(0, FRAME_S)  # noqa: S311  spreads work, protects nothing
        trusted = options.key is not None and options.ticket_id is None
        capture = None
        if self._calls.captures is not None:
            header = header_of(
                call_id,
                setup,
                caller=caller,
                offline_demo=self._agent.offline_demo,
                phase_s=phase_s,
                price=price_of(self._agent.prices, self._settings.model),
                kept=options.kept,
            )
            capture = self._calls.captures.begin(call_id, header, monotonic)
        return Call(
            call_id,
            client=self._agent.client,
            setup=setup,
            caller=caller,
            metadata=options.metadata,
            offline_demo=self._agent.offline_demo,
            prices=self._agent.prices,
            phase_s=phase_s,
            hurried=lambda: self._calls.hurry.active,
            kept=options.kept,
            purse=self._calls.admission.budgets.purse(options.key),
            trace=begin_trace(options.traceparent, trusted=trusted, trace_id=secrets.token_hex(16)),
            recording=recording,
            capture=capture,
        )

    @asynccontextmanager
    async def _negotiating_answer(
        self, options: CallOptions, make_leg: MakeLeg[AnyLeg], *, one_transport: bool
    ) -> AsyncIterator[AnyLeg]:
        """Make a leg that answers an offer, as `_negotiating` does.

        Raises:
            OfferError: 400, 422 or 503.
        """
        late = "The offer took too long to answer."
        with _refusing_unusable_sdp():
            async with self._negotiating(options, make_leg, one_transport=one_transport, late=late) as leg:
                yield leg

    @asynccontextmanager
    async def _negotiating(
        self, options: CallOptions, make_leg: MakeLeg[AnyLeg], *, one_transport: bool, late: str
    ) -> AsyncIterator[AnyLeg]:
        """Make a leg; it is discarded unless its negotiation, inside this context, succeeds in time.

        Args:
            options: what the call has in addition.
            make_leg: makes the leg of a call and its peer connection.
            one_transport: True if all media use one transport.
            late: the error text if it takes too long.

        Raises:
            OfferError: 503.
        """
        call = self.new_call(options)
        pc = self._new_connection(one_transport=one_transport)
        leg = make_leg(call, pc)
        try:
            async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                yield leg
        except BaseException as error:
            leg.let_go()
            await _discard(pc)
            if isinstance(error, TimeoutError):
                raise OfferError(503, "negotiation_timeout", late) from None
            raise

    def _new_connection(self, *, one_transport: bool) -> RTCPeerConnection:
        # With aiortc's default, BALANCED, the second video section is lost.
        policy = RTCBundlePolicy.MAX_BUNDLE if one_transport else RTCBundlePolicy.MAX_COMPAT
        return RTCPeerConnection(RTCConfiguration(iceServers=own_servers(self._settings), bundlePolicy=policy))

    def _client_leg(
        self, offered: Offered, gate: CandidateGate, options: CallOptions, call: Call, pc: RTCPeerConnection
    ) -> ClientLeg:
        return ClientLeg(
            call,
            pc,
            self._settings,
            etag=f'"{secrets.token_hex(8)}"',
            ufrags=offered.ufrags,
            gate=gate,
            opens_channel=offered.wants_data,
            max_message_bytes=offered.max_message_bytes,
            ticket_id=options.ticket_id,
            wish=options.wish,
        )

    async def _answer(self, leg: PeerLeg, offered: Offered, offered_at: float) -> str:
        """Answer an offer, and connect its media to the call; return the answer's SDP."""
        leg.call.timeline.reach("offer", offered_at)
        if offered.refused():
            logger.info("call %s: sections that are refused: %s", leg.call.call_id, ", ".join(offered.refused()))
        await leg.pc.setRemoteDescription(RTCSessionDescription(offered.for_aiortc(), "offer"))
        choose_directions(leg, offered)
        guard_data(leg)
        wire_keys(leg, offered)
        tap_route.route_by_mid(leg.pc.getTransceivers())
        tap_ice.note_path(leg.pc, leg.reachable.set)
        await self._set_local(leg.pc, await leg.pc.createAnswer())
        answer = leg.pc.localDescription.sdp
        wire_audio(leg, offered, answer)
        guard_media(leg)
        wire_video(leg, answer, self._calls.video_worker)
        leg.call.timeline.reach("answer", monotonic())
        leg.answered.set()
        return with_opus_wishes(offered.answer(answer))

    async def _set_local(self, pc: RTCPeerConnection, description: RTCSessionDescription) -> None:
        """Set our description, which gathers candidates on the addresses that the settings name."""
        tap_ice.limit_gathering(pc, GATHERING_S, self._settings.media_addresses or None)
        await pc.setLocalDescription(description)

    def _await_channel(self, leg: ClientLeg, pc: RTCPeerConnection) -> None:
        """Have a dialect take over the data channel, if the client opens one on that connection."""
        settled = False

        def channel_came(channel: RTCDataChannel) -> None:
            nonlocal settled
            dialect = self._dialects.get(channel.label)
            if dialect is None or settled or pc.connectionState == "closed":
                logger.info("call %s: a data channel is ignored: unknown label, or not the first", leg.call.call_id)
                return
            settled = True
            moving = leg.moving.get(channel.label)
            take = partial(dialect, leg) if moving is None else moving.use_channel
            isolated(f"call {leg.call.call_id}: the dialect {channel.label}", lambda: take(channel))
            leg.channel_settled.set()

        pc.on("datachannel", channel_came)


async def _discard(pc: RTCPeerConnection) -> None:
    """Close a connection whose negotiation failed, as far as aiortc can."""
    try:
        await close_peer(pc)
    except SDP_ERRORS as error:
        logger.debug("a half negotiated connection did not close cleanly: %s", type(error).__name__)


@contextmanager
def _refusing_unusable_sdp() -> Iterator[None]:
    """Turn the errors that aiortc raises for a description into refusals.

    Raises:
        OfferError: 400 or 422.
    """
    try:
        yield
    except OperationError as error:
        raise OfferError(422, "no_common_codec", f"The offer cannot be accepted: {error}.") from error
    except SDP_ERRORS as error:
        detail = f"The SDP cannot be used: {type(error).__name__} while reading it."
        raise OfferError(400, "invalid_sdp", detail) from error
