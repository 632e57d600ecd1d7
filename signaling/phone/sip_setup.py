"""Set up a telephone call through the gateway: answer one, or ring a telephone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from agent.errors import GatewayError, OfferError
from signaling.phone.sip_call import DECLINED, SipCall
from signaling.webrtc.offer import Negotiator
from signaling.webrtc.sdp_edits import with_active_setup

logger = logging.getLogger(__name__)

ACCEPT_TIMEOUT_S = 15.0
RING_TIMEOUT_S = 60.0
BUSY, NO_CODEC, UNAVAILABLE = 486, 488, 480
_SIP_CODES = {  # keyed by the code of an OfferError
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


async def answer_call(negotiator: Negotiator, call: SipCall, offer: str | None, line: str) -> None:
    """Accept an incoming call, or refuse it with the SIP code that says why.

    Args:
        negotiator: answers the offer.
        call: the ringing call.
        offer: the phone's SDP, as the gateway passes it on: untrusted; None if it sent none.
        line: the line's name for the log.
    """
    if offer is None:  # RFC 3261 would have us make the offer, but no known phone calls like this
        await call.decline(NO_CODEC)
        return
    try:
        async with asyncio.timeout(ACCEPT_TIMEOUT_S):
            answer, leg = await negotiator.accept_gateways_offer(
                with_active_setup(offer), call.options(), call.make_leg
            )
    except (OfferError, TimeoutError) as error:
        code = error.code if isinstance(error, OfferError) else "negotiation_timeout"
        logger.info("phone line %s: a telephone call was declined: %s: %s", line, code, error)
        await call.decline(_SIP_CODES.get(code, DECLINED))
        return
    call.begin(leg)
    try:
        await call.connect({"request": "accept"}, "answer", answer)
    except GatewayError as error:
        leg.call.hang_up("caller_left", f"The call could not be accepted: {error.detail}.", "caller")


async def ring_telephone(negotiator: Negotiator, call: SipCall, offer: str, request: Mapping[str, Any]) -> None:
    """Ring a telephone until it answers or refuses, for `RING_TIMEOUT_S` at most.

    Args:
        negotiator: takes the answer.
        call: the call to the telephone.
        offer: our SDP.
        request: the address and the headers, as the gateway wants them.
    """
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
        await negotiator.take_answer(leg, call.accepted.result() or "")
        call.state = "answered"
    except TimeoutError:
        leg.call.hang_up("not_answered", f"Nobody answered within {RING_TIMEOUT_S:g} s.", "caller")
    except OfferError as error:
        leg.call.hang_up("no_common_codec", f"The phone's answer cannot be used: {error.detail}", "caller")
