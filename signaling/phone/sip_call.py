"""One telephone call through the gateway, from the first ring to the end; see `signaling.phone.sip_line`.

A `SipCall` exists from the first ring on, and its `SipLeg` once there is a peer connection.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiortc import RTCPeerConnection

from agent import events
from agent.call.call import Call
from agent.clock import monotonic
from agent.errors import GatewayError
from agent.settings import Settings
from signaling.phone.callees import callees_of
from signaling.phone.caller_id import CallerId
from signaling.phone.janus import Handle, Notice
from signaling.phone.telephone import phone_tools
from signaling.webrtc.leg import PeerLeg
from signaling.webrtc.offer import CallOptions

TRANSFER_TIMEOUT_S = 30.0
DECLINED = 603
BYE_TIMEOUT_S = 2.0  # shorter than a leg may take to close, which includes more than this
MAX_SILENCE_S = 300.0  # long, because a phone on hold is silent too; a phone that was switched off sends no BYE
SILENCE_POLL_S = 1.0
_DTMF_INFO = re.compile(r"^\s*(?:Signal\s*=\s*)?([0-9*#A-Da-d])\s*(?:\r?\n|$)", re.IGNORECASE)


class SipCall:
    """One telephone call on one handle of the gateway, from the first ring to the end; a `telephone.Phone`."""

    def __init__(self, handle: Handle, caller_id: CallerId, settings: Settings) -> None:
        self.handle = handle
        self.caller_id = caller_id
        self.leg: SipLeg | None = None
        self.over: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        "How the telephone's side ended: the reason and detail, as in `CallEnded`."
        self.accepted: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        "The SDP with which the telephone answered a call from the service."
        self.state = "calling"
        "``calling``, ``ringing`` or ``answered``; kept only for calls that the service makes."
        self._early_answer: str | None = None  # the SDP of a 183, used if the 200 that follows has none
        self._settings = settings
        self._connected = False  # True once the gateway has a peer connection for the call
        self._keys_by_rtp = self._keys_by_info = False
        self._transferred: asyncio.Future[int] | None = None

    def options(self) -> CallOptions:
        """Return the tools and the instruction that this call adds to the agent's."""
        tools = phone_tools(
            self,
            self._call,
            may_send_keys=self._settings.send_dtmf,
            transfer_to=callees_of(self._settings, "transfer"),
        )
        return CallOptions(tools, self.caller_id.instruction(), self.caller_id.caller, telephone=True)

    def make_leg(self, call: Call, pc: RTCPeerConnection) -> SipLeg:
        """Return the leg of its call; see `Negotiator`."""
        return SipLeg(call, pc, self._settings, phone=self)

    def begin(self, leg: SipLeg) -> None:
        """Take the leg, once its call has started."""
        self.leg = leg
        leg.call.observe(self._note_keys)
        if self.over.done():
            self._end_call()

    @property
    def cleared(self) -> bool:
        """True once its handle can carry another call; a call sent earlier fails in the gateway."""
        return self.over.done() and not self._connected

    async def connect(self, request: Mapping[str, Any], sdp_type: str, sdp: str) -> None:
        """Send a request with our description.

        Raises:
            GatewayError: the gateway refused, did not answer, or is lost.
        """
        self._connected = True
        try:
            await self.handle.ask(request, sdp_type=sdp_type, sdp=sdp)
        except GatewayError:
            self._connected = False
            raise

    def end(self) -> None:
        """End the call: the agent hangs up."""
        self._call().hang_up("hung_up", "The agent hung up.", "agent")

    async def send_keys(self, keys: str) -> None:
        """Press keys, sent as RTP events if the phone accepts those, else by SIP INFO.

        Raises:
            GatewayError: the gateway refused, did not answer, or is lost.
        """
        if self._call().voice.send_keys(keys):
            return
        for key in keys.replace(",", ""):
            await self.handle.ask({"request": "dtmf_info", "digit": key})

    async def transfer(self, target: str) -> None:
        """Have the phone call someone else (REFER, RFC 3515), and hang up once that call is answered.

        Raises:
            GatewayError: the gateway or the phone refused, or did not answer.
        """
        self._transferred = asyncio.get_running_loop().create_future()
        await self.handle.ask({"request": "transfer", "uri": target})
        try:
            async with asyncio.timeout(TRANSFER_TIMEOUT_S):
                code = await self._transferred
        except TimeoutError:
            raise GatewayError("the phone did not say whether the transfer worked") from None
        if code >= 300:
            raise GatewayError(f"the transfer was refused: {code}", code=code)
        self._call().hang_up("hung_up", "The agent transferred the caller.", "agent")

    async def decline(self, code: int) -> None:
        """Refuse an incoming call."""
        with suppress(GatewayError):  # the call was cancelled, or the gateway is gone: nothing to refuse
            await self.handle.ask({"request": "decline", "code": code})
        self.lose("declined", f"The call was declined: {code}.")

    async def refuse_transfer(self, refer_id: Any) -> None:
        """Refuse the phone's request to call someone else: only the operator decides whom the agent calls."""
        with suppress(GatewayError):
            await self.handle.ask({"request": "decline", "code": DECLINED, "refer_id": refer_id})

    def take(self, notice: Notice) -> None:
        """Process a notice about the call."""
        match notice.result.get("event"):
            case "hangup":
                self._phone_ended(notice.result)
            case "progress":  # early media is ringing, which the agent does not hear
                self._early_answer = notice.sdp
                self.state = "ringing"
            case "ringing":
                self.state = "ringing"
            case "accepted" if self.caller_id.direction == "outbound" and not self.accepted.done():
                self.accepted.set_result(notice.sdp or self._early_answer)
            case "info":
                self._info(notice.result)
            case "notify":
                self._transfer_went(str(notice.result.get("content", "")))
            case None if notice.kind == "hangup" and self._connected:
                self._connected = False
                self.lose("caller_left", "The gateway closed the media connection.")

    def lose(self, reason: str, detail: str) -> None:
        """End the call from the telephone's side; only the first reason counts."""
        if not self.over.done():
            self.over.set_result((reason, detail))
            self._end_call()

    def _call(self) -> Call:
        assert self.leg is not None, "the tools run in a call"
        return self.leg.call

    def _phone_ended(self, result: Mapping[str, Any]) -> None:
        code, reason = result.get("code"), str(result.get("reason", ""))
        if code == 200 or (self.leg is not None and self.leg.answered.is_set() and code != 487):
            self.lose("hung_up", "The phone hung up.")
        elif code == 487:
            self.lose("caller_left", "The call was cancelled before it was answered.")
        else:
            self.lose("not_answered", f"The phone answered {code} {reason}.")

    def _end_call(self) -> None:
        if self.leg is not None:
            reason, detail = self.over.result()
            self.leg.call.hang_up(reason, detail, "network" if reason == "gateway_lost" else "caller")

    def _info(self, result: Mapping[str, Any]) -> None:
        """Take a key sent by SIP INFO, unless the phone also sends keys as RTP events."""
        found = _DTMF_INFO.match(str(result.get("content", "")))
        if "dtmf" not in str(result.get("type", "")) or not found or self.leg is None or self._keys_by_rtp:
            return
        self._keys_by_info = True
        self.leg.call.press(found[1].upper())
        self._keys_by_info = False

    def _note_keys(self, event: events.Event) -> None:
        if isinstance(event, events.KeyPressed) and not self._keys_by_info:
            self._keys_by_rtp = True

    def _transfer_went(self, sipfrag: str) -> None:
        found = re.match(r"SIP/2\.0 (\d{3})", sipfrag)
        if found and self._transferred is not None and not self._transferred.done() and int(found[1]) >= 200:
            self._transferred.set_result(int(found[1]))

    async def hang_up(self) -> None:
        """Have the gateway send BYE (or CANCEL, or a refusal), unless the phone has gone already."""
        if self.over.done():
            return
        # If the gateway is gone, the end of its connection has hung up the phone as well.
        with suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(BYE_TIMEOUT_S):
                await self.handle.ask({"request": "hangup"})
        self.lose("hung_up", "We hung up.")


@dataclass(eq=False, kw_only=True)
class SipLeg(PeerLeg):
    """A call of a telephone behind the gateway.

    Attributes:
        phone: the telephone's side of the call, on the gateway.
    """

    phone: SipCall

    async def watch(self, on_connected: Callable[[], None]) -> None:
        """End the call when its connection or the phone behind it is gone; return then, or when cancelled."""
        await self.answered.wait()
        silence = asyncio.create_task(self._watch_silence(), name="phone-silence")
        try:
            await super().watch(on_connected)
        finally:
            silence.cancel()

    async def close(self) -> None:
        """Hang the telephone up, then close the peer connection."""
        try:
            await self.phone.hang_up()
        finally:
            await super().close()

    def describe(self) -> dict[str, Any]:
        """Return the facts about the connection that `GET` on the call shows."""
        phone = {**self.phone.caller_id.described(), "answered": self.answered.is_set()}
        return {**super().describe(), "phone": phone}

    def let_go(self) -> None:
        """Break the reference cycles through the leg and its call, once both are over."""
        self.phone.leg = None
        super().let_go()

    async def _watch_silence(self) -> None:
        heard_at, packets = monotonic(), -1
        while monotonic() - heard_at < MAX_SILENCE_S:
            count = self.audio.packets().received if self.audio is not None and self.audio.tapped else packets - 1
            if count != packets:
                heard_at, packets = monotonic(), count
            await asyncio.sleep(SILENCE_POLL_S)
        self.call.hang_up("ice_lost", f"Nothing was heard from the phone for {MAX_SILENCE_S:g} s.", "network")


def domain(settings: Settings) -> str:
    """Return the SIP domain of plain numbers."""
    return settings.sip_user.partition("@")[2]
