"""Pause and resume a recording over HTTP: `POST /v1/calls/{id}/recording`. See docs/recording.md."""

from __future__ import annotations

from aiohttp import web

from agent.errors import OfferError
from agent.settings import Settings
from signaling.http.bodies import read_json
from signaling.http.tokens import authorise
from signaling.webrtc.calls import Calls

PATH = "/v1/calls/{call_id}/recording"
ACTIONS = ("pause", "resume")


def routes(settings: Settings, calls: Calls) -> list[web.RouteDef]:
    """Return the route."""

    async def change(request: web.Request) -> web.Response:
        authorise(request, settings)
        body = await read_json(request)
        action = body.get("action")
        if action not in ACTIONS or len(body) > 1:
            raise OfferError(422, "unknown_action", f"Send one field, action: {' or '.join(ACTIONS)}.")
        recording = calls.get(request.match_info["call_id"]).call.recording
        if recording is None or not recording.active:
            raise OfferError(409, "not_recorded", "This call is not being recorded.")
        if action == "pause":
            recording.pause()
        else:
            recording.resume()
        return web.json_response({"state": "paused" if recording.paused else "recording"})

    return [web.post(PATH, change)]
