"""Cross-origin requests: pages of other origins may call, with a token and without cookies (Fetch, CORS)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

_EXPOSED = "Location, ETag, Link, Retry-After"
_ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, ETag, X-OpenAI-Agents-SDK"
_ALLOWED_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
_MAX_AGE_S = "600"


def add_cors(app: web.Application, origins: Sequence[str]) -> None:
    """Answer pages of ``origins`` (``*`` for all) with the headers that their browsers ask for."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is None:
            return
        if "*" in origins:
            response.headers["Access-Control-Allow-Origin"] = "*"
        elif origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers.add("Vary", "Origin")
        else:
            return
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
            response.headers["Access-Control-Allow-Methods"] = _ALLOWED_METHODS
            response.headers["Access-Control-Max-Age"] = _MAX_AGE_S

    app.on_response_prepare.append(prepare)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def preflight_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a preflight on any route; one that a route answers itself is left to it."""
    if request.method == "OPTIONS" and isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
        return web.Response(status=204)
    return await handler(request)
