"""Client secrets: short-lived signed tokens with which a page may call without the server key. Untrusted text.

A token is signed, not encrypted: whoever has it can read what it says, and nobody can change that. The signing
key is derived from the server key, so that every service with the same server key accepts the token. A service
without one uses a random key, which is valid for as long as it runs.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from agent.errors import OfferError
from agent.settings import Settings

PREFIX = "ek_"  # OpenAI's clients refuse any other in a browser
MAX_TOKEN_CHARS = 7000  # aiohttp and reverse proxies take headers of about 8000
_PURPOSE = b"talkspurt client secret"  # part of the key: a change would invalidate all tokens


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client secret says.

    Attributes:
        ticket_id: names it; no secret.
        expires_at: Unix time in seconds after which no call can be made with it.
        caller: the caller's name; None if it was not given.
        metadata: the application's own data about the caller.
        session: the session that calls made with it have, as OpenAI's API writes one.
    """

    ticket_id: str
    expires_at: int
    caller: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    session: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Tickets:
    """Signs tickets as tokens and reads them again.

    Args:
        settings: the service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.server_key
        secret = secrets.token_bytes(32) if key is None else key.get_secret_value().encode()
        self._serializer = URLSafeSerializer(
            secret, salt=_PURPOSE, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )

    def sign(self, ticket: Ticket) -> str:
        """Return a ticket as a token.

        Raises:
            OfferError: 422, it says too much.
        """
        said = {
            "id": ticket.ticket_id,
            "exp": ticket.expires_at,
            "caller": ticket.caller,
            "metadata": dict(ticket.metadata),
            "session": dict(ticket.session),
        }
        token = self._serializer.dumps({name: value for name, value in said.items() if value})
        text = PREFIX + (token if isinstance(token, str) else token.decode())
        if len(text) > MAX_TOKEN_CHARS:
            detail = (
                f"The token would have {len(text)} characters, and headers hold {MAX_TOKEN_CHARS}: shorten session "
                "and metadata, or have your backend send session with the offer."
            )
            raise OfferError(422, "client_secret_too_long", detail)
        return text

    def read(self, token: str, now: float, *, expired_too: bool = False) -> Ticket:
        """Read an untrusted token.

        Args:
            token: as the client sent it.
            now: Unix time in seconds.
            expired_too: whether an expired one is accepted.

        Raises:
            OfferError: 401, it is not one of ours, or has expired.
        """
        said = self._verified(token)
        if said is None:
            detail = "The client secret was not made by this service, or its server key has changed since."
            raise OfferError(401, "invalid_client_secret", detail)
        ticket = Ticket(
            said["id"], said["exp"], said.get("caller"), said.get("metadata", {}), said.get("session", {})
        )
        if now >= ticket.expires_at and not expired_too:
            detail = "The client secret has expired: have your backend make another one."
            raise OfferError(401, "expired_client_secret", detail)
        return ticket

    def _verified(self, token: str) -> dict[str, Any] | None:
        """Return what a token says; None if it is not one of ours."""
        if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_CHARS or not token.isascii():
            return None
        try:
            said: dict[str, Any] = self._serializer.loads(token.removeprefix(PREFIX))  # verified, then decompressed
        except BadData:
            return None
        return said
