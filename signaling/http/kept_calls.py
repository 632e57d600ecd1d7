"""A call's kept state, as it goes out over HTTP and comes back: signed, so that nobody can make up what was said.

The signing key is derived from the server key, so that every service with the same server key accepts the state. A
service without one uses a random key, which is valid for as long as it runs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import replace

from agent.call.kept import KeptCall, read_kept
from agent.errors import ConfigError, OfferError
from agent.settings import Settings
from agent.unicode import read_json

KEPT_LIFE_S = 24 * 3600.0
MAX_STATE_BYTES = 2 << 20
_PURPOSE = b"talkspurt: what of a call is kept"  # part of the key: a change would invalidate all states


class Seal:
    """Signs kept calls and verifies them when they come back.

    Args:
        settings: the service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.server_key
        secret = secrets.token_bytes(32) if key is None else key.get_secret_value().encode()
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)

    def sign(self, kept: KeptCall) -> KeptCall:
        """Return the kept call with its signature."""
        return replace(kept, signature=self._signature(kept))

    def take_back(self, state: bytes, now: float) -> KeptCall:
        """Read and verify an untrusted state.

        Args:
            state: JSON, as it was given out.
            now: Unix time in seconds.

        Raises:
            OfferError: 422 if it is not a state; 403 if it was signed with another key or changed since; 410 if it
                is too old.
        """
        try:
            kept = read_kept(read_json(state))
        except ValueError:
            raise OfferError(422, "invalid_state", "The state is not JSON.") from None
        except ConfigError as error:
            raise OfferError(422, "invalid_state", f"The state cannot be used: {error}.") from None
        if not hmac.compare_digest(self._signature(kept), kept.signature or ""):
            raise OfferError(
                403,
                "forged_state",
                "The state was signed with another key or was changed since: send it as GET returned it.",
            )
        if now - kept.kept_at >= KEPT_LIFE_S:
            hours = round(KEPT_LIFE_S / 3600)
            raise OfferError(410, "expired_state", f"The state is older than {hours} hours: start a new call.")
        return kept

    def _signature(self, kept: KeptCall) -> str:
        """Sign the content, not the formatting: clients may parse the JSON and write it again."""
        told = replace(kept, signature=None).to_json()
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        digest = hmac.digest(self._key, text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
