"""Read request bodies, which are untrusted, and check their type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from agent import unicode
from agent.errors import OfferError
from signaling.webrtc.rates import TooFastError

JSON_TYPE = "application/json"


def want_type(request: web.Request, wanted: str) -> None:
    """Refuse a body of another type.

    Pages of other sites may send a few types without a preflight request; JSON is not among them.

    Raises:
        OfferError: 415.
    """
    if request.content_type != wanted:
        raise OfferError(415, "unsupported_media_type", f"Send the body with Content-Type: {wanted}.")


@contextmanager
def refused_by_rate() -> Iterator[None]:
    """Turn `TooFastError` into a 429 that says when the client may try again.

    Raises:
        OfferError: 429.
    """
    try:
        yield
    except TooFastError as error:
        detail = f"{str(error).capitalize()}."
        raise OfferError(429, "too_fast", detail, retry_after_s=error.retry_after_s) from None


async def read_text(request: web.Request, code: str) -> str:
    """Return a body of UTF-8 text.

    Args:
        request: the request.
        code: the error's code if the body is not UTF-8.

    Raises:
        OfferError: 400.
    """
    try:
        return (await request.read()).decode()
    except UnicodeDecodeError:
        raise OfferError(400, code, "The body is not UTF-8 text.") from None


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return a body that is a JSON object (RFC 8259: always UTF-8, whatever charset the request names).

    Raises:
        OfferError: 415, or 400.
    """
    want_type(request, JSON_TYPE)
    try:
        body = unicode.read_json(await read_text(request, "invalid_json"))
    except ValueError:
        raise OfferError(400, "invalid_json", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise OfferError(400, "invalid_json", "The body is not a JSON object.")
    return body
