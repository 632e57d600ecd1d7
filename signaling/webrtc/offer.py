"""The one way in: an SDP offer becomes an answer and a call, whatever HTTP dialect brought it."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.sdp import candidate_from_sdp

from agent.call.call import Call
from agent.call.kept import KeptCall
from agent.clock import monotonic
from agent.dialog.prices import Prices
from agent.errors import OfferError
from agent.isolate import isolated
from agent.live.session import LiveClient
from agent.media import dtmf
from agent.media.inbound import Ear, InboundStats, open_ear
from agent.media.reorder import ReorderStats
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.media.tap import route as tap_route
from agent.media.tap.guard import guard
from agent.media.tap.sctp import guard_channels
from agent.media.video import VideoSource, open_eye
from agent.picture import SourceName
from agent.settings import Settings
from agent.tools.declare import Tool
from agent.unicode import valid_text
from signaling.http.ice import GATHERING_S, checked_networks, own_servers
from signaling.http.tokens import new_call_id
from signaling.webrtc import sdp
from signaling.webrtc.calls import Calls, Leg
from signaling.webrtc.candidates import EVERYWHERE, CandidateGate
from signaling.webrtc.offered import Offered, read_offer
from signaling.webrtc.peer import close_peer
from signaling.webrtc.pending import Slot

logger = logging.getLogger(__name__)

NEGOTIATION_TIMEOUT_S = 10.0  # gathering may ask a STUN server
FRAME_S = 0.02

AIORTC_ERRORS = (InternalError, InvalidAccessError, InvalidStateError, OperationError)
STUMBLES = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError, *AIORTC_ERRORS)
"""What aiortc raises over SDP that is malformed: whatever it stumbles over."""
_DIRECTIONS = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}
"""Of a transceiver, by whether it speaks and whether it hears."""
VIDEO_SOURCES: tuple[SourceName, ...] = ("camera", "screen")  # by the order of the offer's video sections


@dataclass(frozen=True, slots=True)
class Agent:
    """What answers the calls of this service.

    Attributes:
        client: the Live API's client.
        tools: what the model may call.
        offline_demo: the Live server is the local emulator.
        prices: what tokens cost.
        greeting: what the agent says first; None lets the caller begin.
    """

    client: LiveClient
    tools: Sequence[Tool]
    offline_demo: bool
    prices: Prices
    greeting: str | None = None


@dataclass(frozen=True, slots=True)
class Extra:
    """What one call has besides what all calls have.

    Attributes:
        tools: further tools that the model may call.
        instruction: added to the system instruction.
        caller: who calls, as far as that is known: untrusted.
        telephone: the caller has one: the line is noisy, and nobody there can mark where speech begins and ends.
        kept: an earlier call that this one goes on from.
        key: names the key that it came with, see `signaling.http.tokens.key_name`; None if it came without.
    """

    tools: Sequence[Tool] = ()
    instruction: str = ""
    caller: str | None = None
    telephone: bool = False
    kept: KeptCall | None = None
    key: str | None = None


NOTHING_EXTRA = Extra()
Dialect = Callable[[Leg, RTCDataChannel], None]
"""Takes over a data channel of a call: reads it, and observes the call to write to it."""


class Door:
    """Accept offers for one service.

    Args:
        settings: the service's settings.
        agent: what answers.
        calls: where the calls live.
        dialects: by data channel label.
    """

    def __init__(self, settings: Settings, agent: Agent, calls: Calls, dialects: dict[str, Dialect]) -> None:
        self._settings = settings
        self._agent = agent
        self._calls = calls
        self._dialects = dialects
        self._networks = checked_networks(settings)
        tap.keep_payload_types()

    async def accept_offer(
        self, offer: str, extra: Extra = NOTHING_EXTRA, address: str | None = None, *, gateway: bool = False
    ) -> tuple[str, Leg]:
        """Answer an offer and start its call.

        Args:
            offer: the client's SDP: untrusted.
            extra: what this call has besides.
            address: from where the offer came, to share what room there is.
            gateway: it is one of the operator's own: its candidates may be anywhere, its callers are there.

        Returns:
            The answer's SDP and the running call.

        Raises:
            OfferError: 400, 422, 429 or 503; nothing was started.
        """
        self._calls.check_budget(extra.key)
        with self._calls.slot(address, bounded=not gateway) as slot:
            gate = CandidateGate(EVERYWHERE if gateway else self._networks, self._calls.candidates_ignored)
            offered = read_offer(offer, gate.admit)
            gate.leading = offered.leading
            pc = self._new_peer(one_transport=offered.one_transport)
            try:
                async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                    return await self._negotiate(pc, offered, extra, slot, gate)
            except BaseException as error:
                await _discard(pc)
                if isinstance(error, TimeoutError):
                    raise OfferError(503, "negotiation_timeout", "The offer took too long to answer.") from None
                if isinstance(error, STUMBLES):
                    raise _unusable(error) from error
                raise

    async def make_offer(self, extra: Extra = NOTHING_EXTRA) -> tuple[str, Leg]:
        """Start a call that the service itself makes; `take_answer` connects it, or it is hung up.

        The Live session is set up meanwhile, so that the first word is heard.

        Returns:
            The offer's SDP and the call, which runs already.

        Raises:
            OfferError: 429 or 503.
        """
        self._calls.check_budget(extra.key)
        with self._calls.slot(None, bounded=False) as slot:
            pc = self._new_peer(one_transport=True)
            call = self.new_call(extra)
            try:
                async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                    pc.addTransceiver(call.voice, direction="sendrecv")
                    offer = await pc.createOffer()
                    text = offer.sdp if tap.why_not() else sdp.with_keys(offer.sdp)
                    await self._set_local(pc, RTCSessionDescription(text, "offer"))
                leg = Leg(
                    call, pc, ear=None, ufrags=frozenset(), etag="", wants_events=False, answered=asyncio.Event()
                )
                leg.ear = _ear_to_come(leg)
                self._calls.start(leg, slot)
            except BaseException as error:
                call.let_go()
                await _discard(pc)
                if isinstance(error, TimeoutError):
                    raise OfferError(503, "negotiation_timeout", "The offer took too long to make.") from None
                raise
            return pc.localDescription.sdp, leg

    async def take_answer(self, leg: Leg, answer: str) -> None:
        """Connect a call of `make_offer`.

        Args:
            leg: the call.
            answer: the other side's SDP: untrusted.

        Raises:
            OfferError: 400 or 422, the answer cannot be used; the call is to be hung up.
        """
        answered = read_offer(answer)
        try:
            async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                await leg.pc.setRemoteDescription(RTCSessionDescription(answered.for_aiortc(), "answer"))
            _wire_keys(leg, answered, sdp.KEYS_CLOCKS_HZ)
            agreed = answered.for_aiortc()
            _wire_audio(leg, answered, agreed if tap.why_not() else sdp.with_keys(agreed))
            _guard(leg)
        except TimeoutError:
            raise OfferError(503, "negotiation_timeout", "The answer took too long to use.") from None
        except STUMBLES as error:
            raise _unusable(error) from error
        leg.answered.set()

    def new_call(self, extra: Extra = NOTHING_EXTRA) -> Call:
        """Make a call that this service's agent answers; it does not run yet."""
        settings = self._settings
        if extra.instruction:
            instruction = f"{settings.system_instruction}\n\n{valid_text(extra.instruction)}"
            settings = settings.model_copy(update={"system_instruction": instruction})
        if extra.telephone and settings.vad in (None, "off"):
            settings = settings.model_copy(update={"vad": "phone"})
        return Call(
            new_call_id(),
            client=self._agent.client,
            settings=settings,
            tools=(*self._agent.tools, *extra.tools),
            greeting=self._agent.greeting,
            caller=None if extra.caller is None else valid_text(extra.caller),
            offline_demo=self._agent.offline_demo,
            prices=self._agent.prices,
            phase_s=random.uniform(0, FRAME_S),  # noqa: S311  spreads work, protects nothing
            hurried=lambda: self._calls.hurry.active,
            kept=extra.kept,
            purse=self._calls.budgets.purse(extra.key),
        )

    def _new_peer(self, *, one_transport: bool) -> RTCPeerConnection:
        # By aiortc's default, BALANCED, the second video section gets lost.
        policy = RTCBundlePolicy.MAX_BUNDLE if one_transport else RTCBundlePolicy.MAX_COMPAT
        return RTCPeerConnection(RTCConfiguration(iceServers=own_servers(self._settings), bundlePolicy=policy))

    async def _set_local(self, pc: RTCPeerConnection, description: RTCSessionDescription) -> None:
        """Gather the service's own candidates, too, on the addresses that the settings name."""
        tap_ice.limit_gathering(pc, GATHERING_S, self._settings.media_addresses or None)
        await pc.setLocalDescription(description)

    async def _negotiate(
        self, pc: RTCPeerConnection, offered: Offered, extra: Extra, slot: Slot, gate: CandidateGate
    ) -> tuple[str, Leg]:
        call = self.new_call(extra)
        leg = Leg(
            call,
            pc,
            ear=None,
            ufrags=offered.ufrags,
            etag=f'"{secrets.token_hex(8)}"',
            wants_events=offered.wants_data,
            max_message_bytes=offered.max_message_bytes,
            path=asyncio.Event(),
            gate=gate,
        )
        if offered.refused():
            logger.info("call %s: sections that are refused: %s", call.call_id, ", ".join(offered.refused()))
        self._wire(leg)
        try:
            return await self._begin(leg, offered, slot)
        except BaseException:
            leg.let_go()
            raise

    async def _begin(self, leg: Leg, offered: Offered, slot: Slot) -> tuple[str, Leg]:
        call, pc = leg.call, leg.pc
        await pc.setRemoteDescription(RTCSessionDescription(offered.for_aiortc(), "offer"))
        _choose_audio(pc, offered)
        _transceiver(pc, offered.speaking_mid).sender.replaceTrack(call.voice)
        _guard_channels(leg)
        _wire_keys(leg, offered)
        self._turn_down_video(pc)
        tap_route.route_by_mid(pc.getTransceivers())
        tap_ice.note_path(pc, leg.path.set)
        await self._set_local(pc, await pc.createAnswer())
        answer = pc.localDescription.sdp
        _wire_audio(leg, offered, answer)
        _guard(leg)
        self._wire_video(leg, answer)
        self._calls.start(leg, slot)
        return sdp.with_opus_wishes(offered.answer(answer)), leg

    def _wire(self, leg: Leg) -> None:
        """Connect the data channel that the caller may bring."""

        def channel_came(channel: RTCDataChannel) -> None:
            dialect = self._dialects.get(channel.label)
            if dialect is None or leg.greeted.is_set():
                logger.info("call %s: a data channel is ignored: unknown label, or not the first", leg.call.call_id)
                return
            isolated(f"call {leg.call.call_id}: the dialect {channel.label}", lambda: dialect(leg, channel))
            leg.greeted.set()

        leg.pc.on("datachannel", channel_came)

    def _turn_down_video(self, pc: RTCPeerConnection) -> None:
        """Answer ``inactive`` to video that nobody would look at: then it is not even sent."""
        wanted = len(VIDEO_SOURCES) if self._settings.video_fps else 0
        for transceiver in _video(pc)[wanted:]:
            transceiver.direction = "inactive"

    def _wire_video(self, leg: Leg, answer: str) -> None:
        """Look at what the caller shows on the first two video sections."""
        settings = self._settings
        for name, transceiver in zip(VIDEO_SOURCES, _video(leg.pc), strict=False):
            if transceiver.direction == "inactive" or transceiver.receiver.track is None:
                continue
            source = VideoSource(
                name,
                _section(answer, transceiver.mid).payloads(),
                fps=settings.video_fps,
                max_px=settings.video_max_px,
                skip_unchanged=settings.video_skip_unchanged,
                see=leg.call.see,
                worker=self._calls.video_worker,
                clock=monotonic,
            )
            leg.call.eyes.append(open_eye(transceiver.receiver, source))


def _guard_channels(leg: Leg) -> None:
    """Close the data channels of a client that sends more over them than it may."""

    def refuse(objection: str) -> None:
        logger.warning("call %s: its data channels are closed: the caller %s", leg.call.call_id, objection)

    guard_channels(leg.pc, refuse)


def _video(pc: RTCPeerConnection) -> list[RTCRtpTransceiver]:
    """Return the video sections in the order of the offer."""
    return [transceiver for transceiver in pc.getTransceivers() if transceiver.kind == "video"]


def _transceiver(pc: RTCPeerConnection, mid: str) -> RTCRtpTransceiver:
    return next(transceiver for transceiver in pc.getTransceivers() if transceiver.mid == mid)


def _section(description: str, mid: str | None) -> sdp.MediaSection:
    return next(section for section in sdp.media_sections(description) if section.mid == mid)


def _choose_audio(pc: RTCPeerConnection, offered: Offered) -> None:
    """Speak on one audio section and listen on one; what nobody would hear is answered ``inactive``."""
    for transceiver in pc.getTransceivers():
        if transceiver.kind == "audio":
            speaks, hears = (transceiver.mid == mid for mid in (offered.speaking_mid, offered.hearing_mid))
            transceiver.direction = _DIRECTIONS[speaks, hears]


def _wire_audio(leg: Leg, offered: Offered, answer: str) -> None:
    """Speak and listen as it was negotiated.

    Args:
        leg: the call.
        offered: what the other side said.
        answer: what was made of it; its audio sections have the codecs that both sides take.
    """
    spoken = _section(answer, offered.speaking_mid).payloads()
    leg.call.voice.use_codec(next(iter(spoken.values())))
    transceiver = _transceiver(leg.pc, offered.hearing_mid)
    keys = dict.fromkeys(sdp.key_clocks_hz(offered.section(offered.hearing_mid)), dtmf.NAME)
    if transceiver.receiver.track is not None:
        leg.ear = open_ear(
            transceiver.receiver,
            _section(answer, offered.hearing_mid).payloads() | keys,
            hear=leg.call.hear,
            press=leg.call.press,
            clock=monotonic,
        )


def _guard(leg: Leg) -> None:
    """Have packets that cannot be read dropped and counted."""
    stats = leg.ear.stats if leg.ear is not None else InboundStats()

    def drop() -> None:
        stats.unreadable += 1

    for transceiver in leg.pc.getTransceivers():
        guard(transceiver.receiver, drop)


def _ear_to_come(leg: Leg) -> Ear:
    """Stand for the ear of a call that is not answered yet; by then the leg has the real one."""
    nothing_yet = InboundStats()

    async def listen() -> None:
        await leg.answered.wait()
        if leg.ear is not None and leg.ear.stats is not nothing_yet:
            await leg.ear.listen()

    return Ear(listen, False, nothing_yet, ReorderStats)


def _wire_keys(leg: Leg, offered: Offered, own_clocks_hz: Mapping[int, int] = MappingProxyType({})) -> None:
    """Take and send a telephone's keys, if the other side does and packets can be tapped.

    Args:
        leg: the call.
        offered: what the other side said.
        own_clocks_hz: by payload type, what we offered: the numbers that the other side then sends with (RFC 3264
            section 6.1).
    """
    transceiver = _transceiver(leg.pc, offered.speaking_mid)
    keys_hz = sdp.key_clocks_hz(offered.section(offered.speaking_mid))
    if not keys_hz or tap.why_not() is not None:
        return
    clocks_hz = sdp.fitting_clocks_hz(keys_hz, tap.audio_clocks_hz(transceiver))
    payload, clock_hz = next(iter(clocks_hz.items()))
    leg.call.voice.use_events(tap.payload_switch(transceiver, payload), clock_hz)
    tap.negotiate_keys(transceiver, {**clocks_hz, **own_clocks_hz})


async def add_candidates(leg: Leg, fragment: sdp.Fragment) -> None:
    """Give the peer connection what was trickled, as far as it is of use: see `CandidateGate`."""
    if leg.gate is None:
        return
    for trickled in fragment.candidates:
        text = trickled.candidate.removeprefix("candidate:")
        mid = leg.gate.leading.get(trickled.mid)
        if mid is not None and leg.gate.admit(mid, text):
            candidate = candidate_from_sdp(text)
            candidate.sdpMid = mid
            await leg.pc.addIceCandidate(candidate)
    # The end of candidates is not passed on: with none left aioice would give up before the caller's checks arrive.


async def _discard(pc: RTCPeerConnection) -> None:
    """Close a connection that was half negotiated, as far as aiortc can."""
    try:
        await close_peer(pc)
    except STUMBLES as error:
        logger.debug("a half negotiated connection did not close cleanly: %s", type(error).__name__)


def _unusable(error: Exception) -> OfferError:
    if isinstance(error, OperationError):
        return OfferError(422, "no_common_codec", f"The offer cannot be accepted: {error}.")
    return OfferError(400, "invalid_sdp", f"The SDP cannot be used: {type(error).__name__} while reading it.")
