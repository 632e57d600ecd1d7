"""The HTTP requests of Pipecat's clients (SmallWebRTC), answered by the same calls as WHIP's. See docs/clients.md.

A client may ask ``/start`` for a session, whose id is then part of the path of its offers. The id serves no other
purpose: what authorises a request is the key. A client never says goodbye over HTTP; it closes its connection.
"""

from __future__ import annotations

import secrets

from aiohttp import web

from agent.errors import OfferError
from agent.settings import Settings
from signaling.dialects.openai.session import NO_WISH
from signaling.http.access import Access
from signaling.http.bodies import read_json
from signaling.http.ice import ice_config
from signaling.http.pipecat_bodies import read_pipecat_candidates, read_pipecat_offer
from signaling.http.realtime_session import with_session
from signaling.http.tokens import key_name
from signaling.webrtc.calls import Calls
from signaling.webrtc.offer import CallOptions, Negotiator

OFFER_PATHS = ("/api/offer", "/sessions/{session:[A-Za-z0-9_-]{1,128}}/api/offer")


def routes(settings: Settings, negotiator: Negotiator, calls: Calls, access: Access) -> list[web.RouteDef]:
    """Return the routes that Pipecat's clients use."""

    async def start(request: web.Request) -> web.Response:
        access.want_caller(request)
        if request.can_read_body:
            await read_json(request)  # the application's own data; nothing in it is used
        return web.json_response({"sessionId": secrets.token_urlsafe(16), "iceConfig": ice_config(settings)})

    async def offer(request: web.Request) -> web.Response:
        access.want_party(request, None)  # before anything is read; more below
        offered = read_pipecat_offer(await read_json(request))
        if offered.pc_id is None:
            ticket = access.want_caller(request)
            traceparent = request.headers.get("traceparent", "")
            options = with_session(CallOptions(key=key_name(settings), traceparent=traceparent), ticket, NO_WISH)
            answer, leg = await negotiator.accept_offer(offered.sdp, options, request.remote)
        else:
            access.want_party(request, calls.find(offered.pc_id))
            leg = calls.get_clients(offered.pc_id)
            if not offered.restart_pc:
                detail = "A connection cannot be renegotiated: send restart_pc true with an offer of a new one."
                raise OfferError(422, "renegotiation_unsupported", detail)
            answer = await negotiator.rejoin(offered.sdp, leg)
        return web.json_response({"sdp": answer, "type": "answer", "pc_id": leg.call.call_id})

    async def trickle(request: web.Request) -> web.Response:
        access.want_party(request, None)
        call_id, fragment = read_pipecat_candidates(await read_json(request))
        access.want_party(request, calls.find(call_id))
        await calls.get_clients(call_id).trickle(fragment)
        return web.json_response({"status": "success"})

    found = [web.post("/start", start)]
    for path in OFFER_PATHS:
        found += [web.post(path, offer), web.patch(path, trickle)]
    return found
