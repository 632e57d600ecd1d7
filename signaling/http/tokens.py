"""Who may call: a bearer token, compared in constant time (RFC 6750 section 2.1)."""

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
        ConfigError: the address is not loopback, no server key is set and nobody said ``--insecure``.
    """
    if settings.server_key is None and not settings.insecure and not is_loopback(settings.host):
        raise ConfigError(
            f"host {settings.host} is reachable by others, who could call at your cost: set TALKSPURT_SERVER_KEY, "
            "or say --insecure if everybody may"
        )


def authorise(request: web.Request, settings: Settings) -> None:
    """Let a request pass that carries the server key, or any if none is set.

    Raises:
        OfferError: 401.
    """
    if settings.server_key is None:
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.server_key.get_secret_value()
    given = token.strip().encode(errors="surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, expected.encode()):
        raise OfferError(401, "unauthorised", "Send the server key as Authorization: Bearer <key>.")


def key_name(settings: Settings) -> str | None:
    """Name the key with which a request came that `authorise` let pass; None if there is none."""
    return None if settings.server_key is None else "server_key"


def want_key_holder(request: web.Request, settings: Settings) -> None:
    """Let a request pass only with the server key: it asks for what was said in a call.

    Raises:
        OfferError: 401; 403 if no key is set, so that nobody can have it.
    """
    if settings.server_key is None:
        raise OfferError(403, "no_server_key", "Only holders of the server key may ask for this, and none is set.")
    authorise(request, settings)


def want_instructor(request: web.Request, settings: Settings) -> None:
    """Let a request pass that has the agent do something: with the server key, or by the setting if there is none.

    Raises:
        OfferError: 401; 403 if no key is set, and clients may not instruct.
    """
    if settings.server_key is None and not settings.client_may_instruct:
        raise OfferError(403, "not_allowed", "Set a server key and send it, or set client_may_instruct.")
    authorise(request, settings)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
