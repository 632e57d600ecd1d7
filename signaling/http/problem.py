"""HTTP errors in a form that all clients' SDKs can show (RFC 9457, plus OpenAI's ``error`` object)."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from agent.errors import OfferError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 << 10  # an offer has about 10 KiB

_TITLES = {
    400: "Bad request",
    401: "Not authorised",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Body too large",
    415: "Unsupported media type",
    421: "Unknown host",
    422: "Unprocessable content",
    428: "Precondition required",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available",
}


def problem(status: int, code: str, detail: str, *, retry_after_s: int | None = None) -> web.Response:
    """Return an ``application/problem+json`` response.

    Args:
        status: the HTTP status.
        code: a short machine-readable word.
        detail: one sentence for people.
        retry_after_s: seconds after which to try again, for 429 and 503.
    """
    title = _TITLES.get(status, "Error")
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "error": {"message": detail, "type": title.lower().replace(" ", "_"), "code": code},
    }
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = web.json_response(body, status=status, headers=headers, content_type="application/problem+json")
    if status == 408:
        response.force_close()  # the rest of the request may still come
    return response


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as problem+json; unexpected errors are logged and answered 500."""
    try:
        return await handler(request)
    except OfferError as error:
        return problem(error.status, error.code, error.detail, retry_after_s=error.retry_after_s)
    except web.HTTPRequestEntityTooLarge:
        return problem(413, "body_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    except web.RequestPayloadError:
        return problem(400, "unreadable_body", "The body does not match its Content-Encoding.")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem(error.status, error.reason.lower().replace(" ", "_"), f"{error.reason}.")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return problem(500, "internal_error", "The service failed; see its log.")
