"""Sets up a Live session with the SDK, or returns the reason why there is none."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import AbstractAsyncContextManager

from google.auth.exceptions import GoogleAuthError
from google.genai import errors
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from agent.live.client import no_token
from agent.live.endings import ABNORMAL_CLOSURE, MAX_REASON_CHARS, Ending, closed

CLOSE_MARGIN_S = 0.5  # added to the time that the server has to answer a close frame
UNREADABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What the SDK raises for a message that it does not expect, such as one with a number instead of a word."""
CONNECT_ERRORS = (
    *(errors.APIError, GoogleAuthError, OSError, WebSocketException, ImportError),
    *UNREADABLE,
)
_CREDENTIALS = re.compile(r"//[^/@\s]+@")

Connecting = AbstractAsyncContextManager[AsyncSession]


async def connect(connecting: Connecting, limit_s: float) -> AsyncSession | Ending:
    """Enter the SDK's session and return it, or return why none began.

    Args:
        connecting: the SDK's context manager; close it with `close` if it was entered.
        limit_s: how long the server may take to confirm the session, in seconds.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await connecting.__aenter__()
    except TimeoutError:
        return Ending("not_confirmed", during_setup=True, limit_s=limit_s)
    except CONNECT_ERRORS as error:
        return why_not_connected(error)


async def close(connecting: Connecting, close_timeout_s: float) -> None:
    """Close a session, with a deadline: a server that has stopped reading does not take the close frame either."""
    # Not wait_for: before Python 3.12 it loses a cancel that comes just when the session has closed. And no timeout
    # context: before Python 3.11.4 none works in a task that is being cancelled.
    closing = asyncio.create_task(_exit(connecting), name="live-close")
    try:
        await asyncio.wait((closing,), timeout=close_timeout_s + CLOSE_MARGIN_S)
    finally:
        closing.cancel()
    await asyncio.wait((closing,), timeout=CLOSE_MARGIN_S)
    if closing.done() and not closing.cancelled():
        closing.result()


async def _exit(connecting: Connecting) -> None:
    await connecting.__aexit__(None, None, None)


def why_not_connected(error: Exception) -> Ending:
    """Return the ending for what the SDK raised, one of `CONNECT_ERRORS`, instead of setting up a session."""
    match error:
        case InvalidStatus():
            return Ending("upgrade_refused", during_setup=True, code=error.response.status_code)
        case errors.APIError():
            return closed(error.code, error.details, during_setup=True)
        case ConnectionClosed():  # before the SDK could send the set-up
            frame = error.rcvd
            code, reason = (frame.code, frame.reason) if frame else (ABNORMAL_CLOSURE, "")
            return closed(code, reason, during_setup=True)
        case GoogleAuthError():
            return no_token(error)
        case ssl.SSLCertVerificationError():  # an OSError, but not a temporary one
            return Ending("untrusted_certificate", during_setup=True, reason=brief(error))
        case OSError() | InvalidHandshake():
            return Ending("unreachable", during_setup=True, reason=brief(error))
        case WebSocketException() | ImportError():
            return Ending("unusable_address", during_setup=True, reason=brief(error))
        case ValueError():
            return Ending("unusable_settings", during_setup=True, reason=brief(error))
        case _:
            return Ending("unreadable_setup", during_setup=True, reason=type(error).__name__)


def brief(error: Exception) -> str:
    """Return an error's text for the log and the caller, without the password that an address may contain."""
    words = _CREDENTIALS.sub("//...@", str(error)) or type(error).__name__
    return words.rstrip(". ")[:MAX_REASON_CHARS]
