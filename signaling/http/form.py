"""A request's body in parts, as ``FormData`` of a browser and ``curl -F`` send it (RFC 7578)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from agent.errors import OfferError

FORM_TYPE = "multipart/form-data"
STUMBLES = (ValueError, LookupError, AssertionError, RuntimeError, HttpProcessingError)
"""What aiohttp raises over a form that is malformed, and Python over text that is not UTF-8."""


async def read_form(request: web.Request, most_bytes: Mapping[str, int]) -> dict[str, bytes]:
    """Read a form: untrusted.

    Args:
        request: with a body of `FORM_TYPE`.
        most_bytes: of each part that there may be, by name.

    Returns:
        The parts that there are.

    Raises:
        OfferError: 400, it is malformed; 413, a part is too large; 422, a part is unknown or comes twice.
    """
    parts: dict[str, bytes] = {}
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            name = (part.name if isinstance(part, BodyPartReader) else None) or ""
            if not isinstance(part, BodyPartReader) or name not in most_bytes or name in parts:
                expected = ", ".join(most_bytes)
                raise OfferError(422, "unexpected_part", f"The form has at most one part of each name: {expected}.")
            parts[name] = await _read(part, name, most_bytes[name])
    except STUMBLES as error:
        raise OfferError(400, "invalid_form", f"The body is no form: {type(error).__name__}.") from None
    return parts


async def _read(part: BodyPartReader, name: str, most_bytes: int) -> bytes:
    body = bytearray()
    while chunk := await part.read_chunk():
        body += chunk
        if len(body) > most_bytes:
            raise OfferError(413, "part_too_large", f"The part {name} is larger than {most_bytes} bytes.")
    return bytes(body)
