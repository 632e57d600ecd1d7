"""What balancers ask: is the process alive, may it get more calls."""

from __future__ import annotations

from aiohttp import web

from signaling.calls import Calls


def routes(calls: Calls) -> list[web.RouteDef]:
    """Return the routes of the health checks."""

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        status = "draining" if calls.draining else "full" if calls.full else "ready"
        if status == "ready" and calls.overload.active:
            status = "overloaded"
        if calls.outage() is not None:
            status = "unavailable"
        return web.json_response({"status": status, "calls": len(calls)}, status=200 if status == "ready" else 503)

    return [web.get("/healthz", alive), web.get("/readyz", ready)]
