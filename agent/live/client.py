"""Makes the SDK's client with the credentials from the settings."""

from __future__ import annotations

import json
from typing import Any

from google import genai
from google.auth.exceptions import GoogleAuthError, TransportError
from google.oauth2 import service_account

from agent.errors import ConfigError
from agent.live.config import LiveEndpoint, http_options
from agent.live.endings import MAX_REASON_CHARS, Ending, How
from agent.settings import Settings

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def live_client(endpoint: LiveEndpoint, settings: Settings) -> genai.Client:
    """Make the SDK's client, which serves all sessions of the process. Nothing connects yet.

    Raises:
        ConfigError: the credentials cannot be used.
    """
    options = http_options(endpoint, settings)
    if endpoint.api_key is not None:  # passed even if false: otherwise the SDK reads its own environment
        return genai.Client(vertexai=endpoint.vertex, api_key=endpoint.api_key, http_options=options)
    credentials, project = _service_account(settings)
    try:
        return genai.Client(
            vertexai=True,
            credentials=credentials,
            project=settings.vertex_project or project,
            location=settings.vertex_location,
            http_options=options,
        )
    except (GoogleAuthError, ValueError) as error:
        raise ConfigError(f"{settings.source('vertex_project')}: {error}") from None


def _service_account(settings: Settings) -> tuple[service_account.Credentials | None, str | None]:
    """Read the service account's file, if there is one.

    Returns:
        The credentials and the project in it; None for each that the SDK is to find by Google's defaults.
    """
    path = settings.vertex_credentials_file
    if path is None:
        return None, None
    where = f"{settings.source('vertex_credentials_file')} = {path!r}"
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  the path is text from the operator
            known: Any = json.load(file)
        make = service_account.Credentials.from_service_account_info
        credentials = make(known, scopes=SCOPES)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
    except (GoogleAuthError, ValueError, TypeError, AttributeError):  # without its message, which may quote the key
        raise ConfigError(f"{where}: this is not the JSON key file of a service account") from None
    return credentials, credentials.project_id


def no_token(error: GoogleAuthError) -> Ending:
    """Return why there is no access token; the SDK asks Google for one when it connects to Vertex AI."""
    reason = str(error.args[0] if error.args else error)[:MAX_REASON_CHARS]
    how: How = "token_unreachable" if isinstance(error, TransportError) else "no_token"
    return Ending(how, during_setup=True, reason=reason)
