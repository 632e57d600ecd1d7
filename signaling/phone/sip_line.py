"""A SIP line through the Janus gateway: telephones call the agent, and the agent calls telephones.

`SipLine.run` owns everything here and ends with the service: it connects, registers, and reconnects with back-off.
A handle of the gateway carries one call at a time, so a line has a handle for each call that it can carry: the
first one registers, and the others are its helpers (Janus SIP plugin, "Simultaneous SIP calls using the same
account").

A call is ended by the phone (event ``hangup``), by the agent or the service (`SipLeg.close` has the BYE sent), or
by the loss of the connection to the gateway, which then hangs up its phones itself.
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
from signaling.phone.sip_call import SipCall, domain
from signaling.phone.sip_setup import answer_call, ring_telephone
from signaling.webrtc.offer import Negotiator

logger = logging.getLogger(__name__)

PLUGIN = "janus.plugin.sip"
MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0
REGISTER_TIMEOUT_S = 35.0  # Janus takes 32 s to report a registrar that does not answer
REGISTER_TTL_S = 60
MAX_REGISTRATIONS = 16  # unread notices
HEADER_PREFIXES = ("X-",)


@dataclass(eq=False, slots=True)
class _Channel:
    """Room for one call: a gateway handle, and the call that it carries."""

    handle: Handle | None = None
    call: SipCall | None = None

    @property
    def free(self) -> bool:
        return self.handle is not None and (self.call is None or self.call.cleared)


class SipLine:
    """The service's telephone line.

    Args:
        settings: the service's settings, with ``janus_url``.
        negotiator: answers and makes offers.

    Raises:
        ConfigError: `dial_allowed` or `transfer_allowed` cannot be used.
    """

    def __init__(self, settings: Settings, negotiator: Negotiator) -> None:
        assert settings.janus_url is not None
        self.outage: str | None = "The phone line is not registered yet."
        "A sentence saying why no phone can call; None while the line is registered."
        self.user = settings.sip_user
        self._settings = settings
        for switch in SWITCHES:
            callees_of(settings, switch)  # so that it raises now and not at the first call
        self._may_dial = callees_of(settings, "dial")
        self._url = settings.janus_url
        self._negotiator = negotiator
        self._channels: list[_Channel] = []
        self._registrations: asyncio.Queue[Notice] = asyncio.Queue(MAX_REGISTRATIONS)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def domain(self) -> str:
        """The SIP domain of plain numbers."""
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

    async def dial(
        self,
        to: str,
        *,
        instruction: str = "",
        headers: Mapping[str, str] | None = None,
        record: bool | None = None,
        traceparent: str = "",
    ) -> SipCall:
        """Call a telephone; return once the call has started, before the phone rings.

        Args:
            to: a SIP address.
            instruction: added to what the agent is told on this call.
            headers: sent with the call; their names begin with ``X-``.
            record: whether it is recorded; None leaves that to the agent and the settings.
            traceparent: the ``traceparent`` header of the request that led to the call: untrusted.

        Raises:
            OfferError: 403, the operator does not allow it; 429, a daily limit is used up; 503, the line is down or
                busy, or the service is full.
        """
        self._check_allowed(to)
        channel = next((channel for channel in reversed(self._channels) if channel.free), None)
        if self.outage is not None or channel is None or channel.handle is None:
            raise OfferError(503, "line_busy", self.outage or "All lines are in use.", retry_after_s=5)
        call = SipCall(channel.handle, CallerId("outbound", self.user, to).trimmed(), self._settings)
        channel.call = call
        options = call.options()
        try:
            told = "\n\n".join(text for text in (options.instruction, instruction) if text)
            key = key_name(self._settings)
            options = replace(options, instruction=told, key=key, record=record, traceparent=traceparent)
            offer, leg = await self._negotiator.make_offer(options, call.make_leg)
        except BaseException:
            call.lose("shutdown", "The call was not started.")
            raise
        call.begin(leg)
        request: dict[str, Any] = {"uri": to, **({"headers": dict(headers)} if headers else {})}
        self._spawn(call, ring_telephone(self._negotiator, call, offer, request))
        return call

    def _check_allowed(self, to: str) -> None:
        """Raise OfferError 403 unless the operator allows the callee; the line may call itself, for the doctor."""
        if to == self.user:
            return
        if self._may_dial is None:
            raise OfferError(403, "dial_off", "Calling telephones is off: set dial and dial_allowed.")
        if not self._may_dial.allow(to):
            raise OfferError(403, "not_allowed", "This number or address is not in dial_allowed.")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._out("The phone line failed; the log says why.")
            logger.error("phone line %s: failed", self.user, exc_info=task.exception())

    def _out(self, reason: str) -> None:
        if reason != self.outage:
            logger.warning("phone line %s: %s", self.user, reason)
        self.outage = reason

    def _spawn(self, call: SipCall, work: Coroutine[Any, Any, None]) -> None:
        """Set a call up in a task, which ends when the call is set up or over."""
        task = asyncio.create_task(work, name="sip-call")
        self._tasks.add(task)
        task.add_done_callback(partial(self._set_up, call))

    def _set_up(self, call: SipCall, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("phone line %s: a call failed", self.user, exc_info=error)
            if call.leg is not None:
                call.leg.call.hang_up("internal_error", "The service failed.", "agent")

    async def _hold(self, janus: Janus) -> None:
        """Stay registered until the connection to the gateway ends."""
        self._channels = [_Channel()]
        master = self._channels[0]
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
        """Register whenever the line is not registered; calls continue meanwhile."""
        retry_s = MIN_RETRY_S
        while True:
            self._registrations = asyncio.Queue(MAX_REGISTRATIONS)
            try:
                async with asyncio.timeout(REGISTER_TIMEOUT_S):
                    await master.ask(register_request(self._settings))
                    notice = await self._registrations.get()
                if notice.result.get("event") == "registered":
                    await self._add_lines(janus, notice.result.get("master_id"))
                    self.outage = None
                    retry_s = MIN_RETRY_S
                    logger.info("phone line %s: registered, %d calls at once", self.user, len(self._channels))
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
        """Wait until the registration fails, and return that notice; renewals are ignored."""
        while (notice := await self._registrations.get()).result.get("event") == "registered":
            pass
        return notice

    async def _add_lines(self, janus: Janus, master_id: Any) -> None:
        """Attach the helpers that carry further simultaneous calls."""
        while len(self._channels) < self._settings.sip_lines:
            channel = _Channel()
            channel.handle = await janus.attach(PLUGIN, partial(self._take, janus, channel))
            request = {"request": "register", "type": "helper", "username": self.user, "master_id": master_id}
            await channel.handle.ask(request)
            self._channels.append(channel)

    def _take(self, janus: Janus, channel: _Channel, notice: Notice) -> None:
        match notice.result.get("event"):
            case "registered" | "registration_failed" | "unregistered" if channel in self._channels[:1]:
                with suppress(asyncio.QueueFull):  # further ones would say nothing new
                    self._registrations.put_nowait(notice)
            case "incomingcall":
                self._ring(channel, notice)
            case "transfer" if channel.call is not None:
                self._spawn(channel.call, channel.call.refuse_transfer(notice.result.get("refer_id")))
            case "missed_call":
                logger.info("phone line %s: a caller found all lines busy", self.user)
            case _:
                if notice.kind == "detached":
                    janus.lost.set()
                elif channel.call is not None:
                    channel.call.take(notice)

    def _drop_calls(self) -> None:
        """End all calls: the gateway has gone, and the phones with it."""
        for channel in self._channels:
            if channel.call is not None:
                channel.call.lose("gateway_lost", "The connection to the phone gateway was lost.")
        self._channels = []

    def _ring(self, channel: _Channel, notice: Notice) -> None:
        assert channel.handle is not None
        if channel.call is not None:  # an outgoing call that was not sent yet; it must not hang up the incoming one
            channel.call.lose("not_answered", "An incoming call took the line.")
        result, headers = notice.result, notice.result.get("headers")
        caller_id = CallerId(
            "inbound",
            str(result.get("username", "")),
            str(result.get("callee", "")),
            str(result.get("displayname") or "").strip('"'),
            headers if isinstance(headers, dict) else {},
        )
        channel.call = SipCall(channel.handle, caller_id.trimmed(), self._settings)
        self._spawn(channel.call, answer_call(self._negotiator, channel.call, notice.sdp, self.user))


def register_request(settings: Settings) -> dict[str, Any]:
    """Return the request that registers the line (Janus SIP plugin)."""
    request: dict[str, Any] = {
        "request": "register",
        "username": settings.sip_user,
        "force_udp": True,
        "incoming_header_prefixes": list(HEADER_PREFIXES),
    }
    if settings.sip_proxy is not None:
        request |= {"proxy": settings.sip_proxy, "outbound_proxy": settings.sip_proxy}
    if settings.sip_password is None:
        return request | {"type": "guest"}
    secret = settings.sip_password.get_secret_value()
    user = settings.sip_user.partition(":")[2].partition("@")[0]
    return request | {"authuser": user, "secret": secret, "register_ttl": REGISTER_TTL_S}
