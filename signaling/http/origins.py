"""Which sites' pages may use the service from a browser: checks of Host and Origin (Fetch, CORS; RFC 6454).

A page that a developer visits can send requests to this machine. If the page's owner points its host name at this
machine (DNS rebinding), they even look like requests from the service's own page. So unknown host names are refused
(421), and so are pages of other sites unless a setting allows them (403). Programs send no Origin and may use an IP
address as Host: they need nothing but the server key, if there is one.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agent.errors import OfferError
from agent.settings import Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_EXPOSED = "Location, ETag, Link, Retry-After"
_ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, ETag, X-OpenAI-Agents-SDK, traceparent, tracestate"
_ALLOWED_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
_MAX_AGE_S = "600"
_OUT_OF_SIGHT = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Origins:
    """The host names that requests may use, and the pages that may send them.

    Attributes:
        hosts: names of the service, lower case, without ports; None for any.
        pages: origins of other sites whose pages may use the service; ``*`` means all.
        loopback_pages: whether pages served by this machine may use it.
    """

    hosts: frozenset[str] | None
    pages: frozenset[str]
    loopback_pages: bool

    def knows_host(self, host: str | None) -> bool:
        """Return True if a Host header names the service, or is missing, as in HTTP/1.0."""
        if host is None or self.hosts is None:
            return True
        name = _name(host)
        return name in self.hosts or _is_address(name)

    def allows(self, origin: str, host: str | None) -> bool:
        """Return True if pages of an origin may use the service: its own page, or one that a setting allows."""
        if "*" in self.pages or origin in self.pages:
            return True
        _, separator, authority = origin.lower().partition("://")
        if not separator:
            return False
        if host is not None and authority == host.lower():
            return True
        return self.loopback_pages and _name(authority) in LOOPBACK_NAMES


def origins_of(settings: Settings) -> Origins:
    """Return what the settings allow.

    Beyond loopback, with a server key, any name is accepted: a page with a rebound name does not have the key.
    """
    on_loopback = settings.host in LOOPBACK_NAMES
    hosts = None
    if settings.allowed_hosts and "*" not in settings.allowed_hosts:
        hosts = frozenset(name.lower() for name in (*settings.allowed_hosts, *LOOPBACK_NAMES))
    elif not settings.allowed_hosts and (on_loopback or settings.server_key is None):
        hosts = frozenset((*LOOPBACK_NAMES, settings.host.lower(), socket.gethostname().lower()))
    return Origins(hosts, frozenset(origin.rstrip("/") for origin in settings.cors_origins), on_loopback)


def origin_middleware(origins: Origins) -> Middleware:
    """Return a middleware that refuses unknown host names and the pages of other sites."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check Host and Origin; answer preflight requests for routes that do not do so themselves."""
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if not origins.knows_host(host):
            raise OfferError(421, "unknown_host", "The service does not know this host name: see allowed_hosts.")
        if origin is not None and not origins.allows(origin, host):
            detail = "Pages of this origin may not use the service: see cors_origins."
            raise OfferError(403, "foreign_origin", detail)
        if request.method == "OPTIONS" and isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
            return web.Response(status=204)
        return await handler(request)

    return check


def add_cors(app: web.Application, origins: Origins) -> None:
    """Add CORS headers to responses for pages that may use the service, and keep other pages from reading them."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_OUT_OF_SIGHT)
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin is None or not origins.allows(origin, request.headers.get("Host")):
            return
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in origins.pages else origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
            response.headers["Access-Control-Allow-Methods"] = _ALLOWED_METHODS
            response.headers["Access-Control-Max-Age"] = _MAX_AGE_S

    app.on_response_prepare.append(prepare)


def _name(authority: str) -> str:
    """Return the host of ``host:port`` in lower case, without the brackets of an IPv6 address."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
