"""Health checks for load balancers: is the process alive, and can it take more calls?"""

from __future__ import annotations

from aiohttp import web

from signaling.phone.sip_line import SipLine
from signaling.webrtc.calls import Calls


def routes(calls: Calls, phone: SipLine | None = None) -> list[web.RouteDef]:
    """Return the routes of the health checks.

    Args:
        calls: all calls in this process.
        phone: the phone line, if there is one; while it is not registered the service is not ready.
    """

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        status = "draining" if calls.admission.draining else "full" if calls.admission.full else "ready"
        if status == "ready" and calls.admission.overload.active:
            status = "overloaded"
        outage = phone.outage if phone is not None else None
        if calls.admission.outage() is not None or outage is not None:
            status = "unavailable"
        body = {"status": status, "calls": len(calls)}
        if phone is not None:
            body["phone"] = outage or "registered"
        return web.json_response(body, status=200 if status == "ready" else 503)

    return [web.get("/healthz", alive), web.get("/readyz", ready)]
