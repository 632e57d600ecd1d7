"""The calls of this moment, for the operator. Never without the server key: it tells who calls."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from agent.settings import Settings
from signaling.http.info import call_info
from signaling.http.tokens import want_key_holder
from signaling.webrtc.calls import Calls
from signaling.webrtc.leg import Leg

LIVE_CALLS_PATH = "/v1/calls"
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def routes(settings: Settings, calls: Calls) -> list[web.RouteDef]:
    """Return the routes of running calls; docs/history.md describes them."""
    keeps_history = settings.history_url is not None

    async def show(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        running = [_shown(leg) for leg in calls.running()]
        return web.json_response({"calls": running, "history": keeps_history}, headers=PRIVATE)

    async def hang_up(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        calls.hang_up(request.match_info["call_id"], "The operator hung up.", "operator")
        return web.Response(status=204)

    return [web.get(LIVE_CALLS_PATH, show), web.post(f"{LIVE_CALLS_PATH}/{{call_id}}/hang-up", hang_up)]


def _shown(leg: Leg) -> dict[str, Any]:
    return {**call_info(leg), "caller": leg.call.caller}
