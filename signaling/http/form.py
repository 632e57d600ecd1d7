"""Read forms as a browser's ``FormData`` and ``curl -F`` send them (RFC 7578)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from agent.errors import OfferError

FORM_TYPE = "multipart/form-data"
FORM_ERRORS = (ValueError, LookupError, AssertionError, RuntimeError, HttpProcessingError)
"""What aiohttp raises for a malformed form, and Python for text that is not UTF-8."""


async def read_form(request: web.Request, max_bytes: Mapping[str, int]) -> dict[str, bytes]:
    """Read an untrusted form.

    Args:
        request: has a body of `FORM_TYPE`.
        max_bytes: the largest size of each part that is allowed, keyed by name.

    Returns:
        The parts in the form.

    Raises:
        OfferError: 400 if it is malformed; 413 if a part is too large; 422 if a part is unknown or occurs twice.
    """
    parts: dict[str, bytes] = {}
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            name = (part.name if isinstance(part, BodyPartReader) else None) or ""
            if not isinstance(part, BodyPartReader) or name not in max_bytes or name in parts:
                expected = ", ".join(max_bytes)
                detail = f"The form may have these parts, each at most once: {expected}."
                raise OfferError(422, "unexpected_part", detail)
            parts[name] = await _read(part, name, max_bytes[name])
    except FORM_ERRORS as error:
        detail = f"The body cannot be read as {FORM_TYPE}: {type(error).__name__}."
        raise OfferError(400, "invalid_form", detail) from None
    return parts


async def _read(part: BodyPartReader, name: str, max_bytes: int) -> bytes:
    body = bytearray()
    while chunk := await part.read_chunk():
        body += chunk
        if len(body) > max_bytes:
            raise OfferError(413, "part_too_large", f"The part {name} is larger than {max_bytes} bytes.")
    return bytes(body)
