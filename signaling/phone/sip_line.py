"""A SIP line through the Janus gateway: telephones call the agent, and the agent calls telephones.

`SipLine.run` owns everything here and ends with the service: it connects, registers, reconnects with a back-off.
One handle of the gateway carries one call at a time, so a line has as many handles as calls: the first registers,
the others are its helpers (Janus SIP plugin, "Simultaneous SIP calls using the same account").

What ends a call: the phone (event ``hangup``), the agent or the service (`SipLeg.close` sends the BYE), the
gateway's connection (it hangs its phones up itself when it sees the connection close).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiohttp import web

from agent.errors import GatewayError, OfferError
from agent.settings import Settings
from signaling.http.tokens import key_name
from signaling.phone.callees import SWITCHES, callees_of
from signaling.phone.caller_id import CallerId
from signaling.phone.janus import Handle, Janus, Notice, janus_session
from signaling.phone.sip_call import DECLINED, SipCall, domain
from signaling.webrtc.offer import Negotiator
from signaling.webrtc.sdp_edits import with_active_setup

logger = logging.getLogger(__name__)

PLUGIN = "janus.plugin.sip"
MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0
REGISTER_TIMEOUT_S = 35.0  # Janus reports a registrar that does not answer after 32 s
REGISTER_TTL_S = 60
MAX_REGISTRATIONS = 16  # that wait to be looked at
ACCEPT_TIMEOUT_S = 15.0
RING_TIMEOUT_S = 60.0
HEADER_PREFIXES = ("X-",)
BUSY, NO_CODEC, UNAVAILABLE = 486, 488, 480
_DECLINE_CODES = {  # by code of an OfferError
    "full": BUSY,
    "draining": BUSY,
    "unavailable": UNAVAILABLE,
    "overloaded": UNAVAILABLE,
    "daily_budget_spent": UNAVAILABLE,
    "daily_minutes_used": UNAVAILABLE,
    "negotiation_timeout": UNAVAILABLE,
    "no_common_codec": NO_CODEC,
    "no_acceptable_audio": NO_CODEC,
    "invalid_sdp": NO_CODEC,
}


@dataclass(eq=False, slots=True)
class _Slot:
    """A handle and the call that it carries."""

    handle: Handle | None = None
    call: SipCall | None = None

    @property
    def free(self) -> bool:
        return self.handle is not None and (self.call is None or self.call.cleared)


class SipLine:
    """The service's line.

    Args:
        settings: the service's settings, with ``janus_url``.
        negotiator: answers and makes offers.

    Raises:
        ConfigError: what may be dialled or transferred to is not said properly.
    """

    def __init__(self, settings: Settings, negotiator: Negotiator) -> None:
        assert settings.janus_url is not None
        self.outage: str | None = "The phone line is not registered yet."
        "Says why no phone can call; None while the line is registered."
        self.user = settings.sip_user
        self._settings = settings
        for switch in SWITCHES:
            callees_of(settings, switch)  # complains now, not at the first call
        self._may_dial = callees_of(settings, "dial")
        self._url = settings.janus_url
        self._negotiator = negotiator
        self._slots: list[_Slot] = []
        self._registrations: asyncio.Queue[Notice] = asyncio.Queue(MAX_REGISTRATIONS)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def domain(self) -> str:
        """Where plain numbers are."""
        return domain(self._settings)

    async def serve(self, _app: web.Application) -> AsyncIterator[None]:
        """Hold the line while the application runs (aiohttp's ``cleanup_ctx``)."""
        holding = asyncio.create_task(self.run(), name="sip-line")
        holding.add_done_callback(self._ended)
        yield
        for task in (holding, *self._tasks):
            task.cancel()
        await asyncio.gather(holding, *self._tasks, return_exceptions=True)

    async def run(self) -> None:
        """Hold the line until cancelled."""
        retry_s = MIN_RETRY_S
        while True:
            try:
                secret = self._settings.janus_secret
                async with janus_session(self._url, secret.get_secret_value() if secret else None) as janus:
                    try:
                        await self._hold(janus)
                    finally:
                        self._drop_calls()
                retry_s = MIN_RETRY_S
                self._out("The phone gateway's connection is lost.")
            except GatewayError as error:
                self._out(f"{error.detail[0].upper()}{error.detail[1:]}.")
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)

    async def dial(self, to: str, *, instruction: str = "", headers: Mapping[str, str] | None = None) -> SipCall:
        """Call a telephone; the call goes on by itself, see `SipCall.leg`.

        Args:
            to: a SIP address.
            instruction: added to what the agent is told on this call.
            headers: sent with the call; their names begin with ``X-``.

        Raises:
            OfferError: 403, the operator does not allow it; 429, a daily limit is used up; 503, the line is down or
                busy, or the service full.
        """
        self._check_allowed(to)
        slot = next((slot for slot in reversed(self._slots) if slot.free), None)
        if self.outage is not None or slot is None or slot.handle is None:
            raise OfferError(503, "line_busy", self.outage or "All lines are in use.", retry_after_s=5)
        call = SipCall(slot.handle, CallerId("outbound", self.user, to).trimmed(), self._settings)
        slot.call = call
        extra = call.extra()
        try:
            told = "\n\n".join(text for text in (extra.instruction, instruction) if text)
            extra = replace(extra, instruction=told, key=key_name(self._settings))
            offer, leg = await self._negotiator.make_offer(extra, call.make_leg)
        except BaseException:
            call.lose("shutdown", "It was not begun.")
            raise
        call.begin(leg)
        self._spawn(
            call, self._call_out(call, offer, {"uri": to, **({"headers": dict(headers)} if headers else {})})
        )
        return call

    def _check_allowed(self, to: str) -> None:
        """Let the line call itself, as the doctor has it do, and beyond that only who is allowed."""
        if to == self.user:
            return
        if self._may_dial is None:
            raise OfferError(403, "dial_off", "This service calls nobody: dial is off. See dial_allowed too.")
        if not self._may_dial.allow(to):
            raise OfferError(403, "not_allowed", "dial_allowed does not name this number or address.")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._out("The phone line failed; its log says why.")
            logger.error("phone line %s: failed", self.user, exc_info=task.exception())

    def _out(self, reason: str) -> None:
        if reason != self.outage:
            logger.warning("phone line %s: %s", self.user, reason)
        self.outage = reason

    def _spawn(self, call: SipCall, work: Coroutine[Any, Any, None]) -> None:
        """Run what sets a call up; ends when it is set up or over."""
        task = asyncio.create_task(work, name="sip-call")
        self._tasks.add(task)
        task.add_done_callback(partial(self._set_up, call))

    def _set_up(self, call: SipCall, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("phone line %s: a call failed", self.user, exc_info=error)
            if call.leg is not None:
                call.leg.call.hang_up("internal_error", "The service failed.", "agent")

    # the line

    async def _hold(self, janus: Janus) -> None:
        """Register, and stay so; ends when the gateway's connection does."""
        self._slots = [_Slot()]
        master = self._slots[0]
        master.handle = await janus.attach(PLUGIN, partial(self._take, janus, master))
        staying = asyncio.create_task(self._stay_registered(janus, master.handle), name="sip-register")
        lost = asyncio.create_task(janus.lost.wait())
        try:
            await asyncio.wait((staying, lost), return_when=asyncio.FIRST_COMPLETED)
            if staying.done():
                staying.result()
        finally:
            for task in (staying, lost):
                task.cancel()
            await asyncio.gather(staying, lost, return_exceptions=True)

    async def _stay_registered(self, janus: Janus, master: Handle) -> None:
        """Register whenever the line is not; calls go on meanwhile."""
        retry_s = MIN_RETRY_S
        while True:
            self._registrations = asyncio.Queue(MAX_REGISTRATIONS)
            try:
                async with asyncio.timeout(REGISTER_TIMEOUT_S):
                    await master.ask(self._register_request())
                    notice = await self._registrations.get()
                if notice.result.get("event") == "registered":
                    await self._add_lines(janus, notice.result.get("master_id"))
                    self.outage = None
                    retry_s = MIN_RETRY_S
                    logger.info("phone line %s: registered, %d calls at once", self.user, len(self._slots))
                    notice = await self._next_failure()
                self._out(f"The registrar refuses: {notice.result.get('code')} {notice.result.get('reason')}.")
            except TimeoutError:
                self._out("The registrar does not answer.")
            except GatewayError as error:
                if janus.lost.is_set():
                    raise
                self._out(f"The gateway does not register the line: {error.detail}.")
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)

    async def _next_failure(self) -> Notice:
        """Wait until the line is not registered any more; that it was renewed is told in between."""
        while (notice := await self._registrations.get()).result.get("event") == "registered":
            pass
        return notice

    def _register_request(self) -> dict[str, Any]:
        settings = self._settings
        request: dict[str, Any] = {
            "request": "register",
            "username": self.user,
            "force_udp": True,
            "incoming_header_prefixes": list(HEADER_PREFIXES),
        }
        if settings.sip_proxy is not None:
            request |= {"proxy": settings.sip_proxy, "outbound_proxy": settings.sip_proxy}
        if settings.sip_password is None:
            return request | {"type": "guest"}
        secret = settings.sip_password.get_secret_value()
        user = self.user.partition(":")[2].partition("@")[0]
        return request | {"authuser": user, "secret": secret, "register_ttl": REGISTER_TTL_S}

    async def _add_lines(self, janus: Janus, master_id: Any) -> None:
        """Attach the helpers that carry further calls at the same time."""
        while len(self._slots) < self._settings.sip_lines:
            slot = _Slot()
            slot.handle = await janus.attach(PLUGIN, partial(self._take, janus, slot))
            request = {"request": "register", "type": "helper", "username": self.user, "master_id": master_id}
            await slot.handle.ask(request)
            self._slots.append(slot)

    def _take(self, janus: Janus, slot: _Slot, notice: Notice) -> None:
        match notice.result.get("event"):
            case "registered" | "registration_failed" | "unregistered" if slot in self._slots[:1]:
                with suppress(asyncio.QueueFull):  # so many tell nothing new
                    self._registrations.put_nowait(notice)
            case "incomingcall":
                self._ring(slot, notice)
            case "transfer" if slot.call is not None:
                self._spawn(slot.call, slot.call.refuse_transfer(notice.result.get("refer_id")))
            case "missed_call":
                logger.info("phone line %s: a caller found all lines busy", self.user)
            case _:
                if notice.kind == "detached":
                    janus.lost.set()
                elif slot.call is not None:
                    slot.call.take(notice)

    def _drop_calls(self) -> None:
        """The gateway has gone, and with it the phones of its calls."""
        for slot in self._slots:
            if slot.call is not None:
                slot.call.lose("gateway_lost", "The connection to the phone gateway was lost.")
        self._slots = []

    # calls

    def _ring(self, slot: _Slot, notice: Notice) -> None:
        assert slot.handle is not None
        if slot.call is not None:  # a call of ours that was not sent yet; it must not hang this one up
            slot.call.lose("not_answered", "The line was taken by a call that came in.")
        result, headers = notice.result, notice.result.get("headers")
        caller_id = CallerId(
            "inbound",
            str(result.get("username", "")),
            str(result.get("callee", "")),
            str(result.get("displayname") or "").strip('"'),
            headers if isinstance(headers, dict) else {},
        )
        slot.call = SipCall(slot.handle, caller_id.trimmed(), self._settings)
        self._spawn(slot.call, self._answer(slot.call, notice.sdp))

    async def _answer(self, call: SipCall, offer: str | None) -> None:
        """Accept an incoming call, or refuse it with the code that says why."""
        if offer is None:  # RFC 3264 would have us offer; no phone that we know calls so
            await call.decline(NO_CODEC)
            return
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT_S):
                answer, leg = await self._negotiator.accept_gateways_offer(
                    with_active_setup(offer), call.extra(), call.make_leg
                )
        except (OfferError, TimeoutError) as error:
            code = error.code if isinstance(error, OfferError) else "negotiation_timeout"
            logger.info("phone line %s: declined a call: %s: %s", self.user, code, error)
            await call.decline(_DECLINE_CODES.get(code, DECLINED))
            return
        call.begin(leg)
        try:
            await call.connect({"request": "accept"}, "answer", answer)
        except GatewayError as error:
            leg.call.hang_up("caller_left", f"The call could not be accepted: {error.detail}.", "caller")

    async def _call_out(self, call: SipCall, offer: str, request: Mapping[str, Any]) -> None:
        """Ring a telephone until it answers, refuses, or nobody answers."""
        if call.over.done():
            return
        leg = call.leg
        assert leg is not None
        try:
            await call.connect({"request": "call", **request}, "offer", offer)
        except GatewayError as error:
            leg.call.hang_up("not_answered", f"The call could not be made: {error.detail}.", "network")
            return
        try:
            async with asyncio.timeout(RING_TIMEOUT_S):
                await asyncio.wait((call.accepted, call.over), return_when=asyncio.FIRST_COMPLETED)
            if call.over.done():
                return
            await self._negotiator.take_answer(leg, call.accepted.result() or "")
            call.state = "answered"
        except TimeoutError:
            leg.call.hang_up("not_answered", f"Nobody answered within {RING_TIMEOUT_S:g} s.", "caller")
        except OfferError as error:
            leg.call.hang_up("no_common_codec", f"The phone's answer cannot be used: {error.detail}", "caller")
