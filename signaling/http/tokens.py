"""Access by bearer token, compared in constant time (RFC 6750 section 2.1)."""

from __future__ import annotations

import hmac
import ipaddress
import secrets

from aiohttp import web

from agent.errors import ConfigError, OfferError
from agent.settings import Settings


def new_call_id() -> str:
    """Return an unguessable id: 128 random bits."""
    return f"rtc_{secrets.token_urlsafe(16)}"


def check_exposure(settings: Settings) -> None:
    """Refuse to serve strangers by accident.

    Raises:
        ConfigError: the address is not loopback, no server key is set, and ``insecure`` is off.
    """
    if settings.server_key is None and not settings.insecure and not is_loopback(settings.host):
        raise ConfigError(
            f"{settings.stated('host')}: others can reach this address and could call at your cost: set "
            "TALKSPURT_SERVER_KEY, or use --insecure to let everyone call"
        )


def bearer(request: web.Request) -> str:
    """Return the bearer token of a request; "" if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def authorise(request: web.Request, settings: Settings) -> None:
    """Accept a request that has the server key, or any request if no key is set.

    Raises:
        OfferError: 401.
    """
    if settings.server_key is None:
        return
    expected = settings.server_key.get_secret_value()
    given = bearer(request).encode(errors="surrogateescape")
    if not hmac.compare_digest(given, expected.encode()):
        raise OfferError(401, "unauthorised", "Send the server key as Authorization: Bearer <key>.")


def key_name(settings: Settings) -> str | None:
    """Return the name of the key of a request that `authorise` accepted; None if no key is set."""
    return None if settings.server_key is None else "server_key"


def want_key_holder(request: web.Request, settings: Settings) -> None:
    """Accept a request only with the server key, because it asks for what was said in a call.

    Raises:
        OfferError: 401; 403 if no key is set, since then nobody can have it.
    """
    if settings.server_key is None:
        raise OfferError(403, "no_server_key", "This requires a server key, and the service has none.")
    authorise(request, settings)


def want_instructor(request: web.Request, settings: Settings) -> None:
    """Accept a request that instructs the agent: with the server key, or without one if ``client_may_instruct``.

    Raises:
        OfferError: 401; 403 if no key is set and clients may not instruct.
    """
    if settings.server_key is None and not settings.client_may_instruct:
        detail = "This requires a server key, or the setting client_may_instruct."
        raise OfferError(403, "not_allowed", detail)
    authorise(request, settings)


def is_loopback(host: str) -> bool:
    """Return True if a host is loopback, which only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
