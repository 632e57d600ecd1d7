"""A client that has lost its connection, or changed networks, connects anew to its running call.

It POSTs an offer to the call's own address. RFC 9725 knows only ICE restarts, which keep the peer connection, and
which aiortc does not support. Pipecat's clients do the same in their own words, see `signaling.http.pipecat`.
"""

from __future__ import annotations

from aiohttp import web

from agent.settings import Settings
from signaling.http.access import Access
from signaling.http.bodies import want_type
from signaling.http.whip import ENDPOINTS, SDP_TYPE, answered, offer_text
from signaling.webrtc.calls import Calls
from signaling.webrtc.offer import Negotiator


def routes(settings: Settings, negotiator: Negotiator, calls: Calls, access: Access) -> list[web.RouteDef]:
    """Return the routes that connect clients anew."""

    async def join(request: web.Request) -> web.Response:
        call_id = request.match_info["call_id"]
        access.want_party(request, calls.find(call_id))
        leg = calls.get_clients(call_id)
        want_type(request, SDP_TYPE)
        return answered(await negotiator.rejoin(offer_text(await request.read()), leg), leg, settings)

    return [web.post(f"{endpoint}/{{call_id}}", join) for endpoint in ENDPOINTS]
