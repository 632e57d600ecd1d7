"""The ICE servers that callers should use, as JSON for `RTCPeerConnection`."""

from __future__ import annotations

from aiohttp import web

from agent.settings import Settings

TTL_S = 3600  # the servers hold no credential that expires


def routes(settings: Settings) -> list[web.RouteDef]:
    """Return the route of the ICE servers."""

    async def ice_servers(_request: web.Request) -> web.Response:
        servers = [{"urls": [url]} for url in settings.ice_servers]
        return web.json_response({"iceServers": servers, "ttl": TTL_S})

    return [web.get("/v1/ice-servers", ice_servers)]
