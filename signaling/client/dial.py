"""Have a running service call a telephone, and follow the call: for `talkspurt dial` and the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import aiohttp

from agent.errors import OfferError

STATE_POLL_S = 0.2


@asynccontextmanager
async def service_client(url: str, key: str | None) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an HTTP client for the service at ``url``, with its server key if it has one."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=aiohttp.ClientTimeout(10)) as http:
        yield http


async def follow_call(http: aiohttp.ClientSession, wish: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """Start a call and yield its state at each change, until it has ended; closing the generator hangs up.

    Args:
        http: the client from `service_client`.
        wish: the body of `POST /v1/calls`.

    Raises:
        OfferError: the service refused; the error carries its status and reason.
        aiohttp.ClientError: the service cannot be reached.
    """
    async with http.post("/v1/calls", json=wish) as response:
        path = urljoin("/v1/calls", response.headers.get("Location", ""))
        state = await _answer(response)
    try:
        yield state
        while state["state"] != "ended":
            await asyncio.sleep(STATE_POLL_S)
            async with http.get(path) as response:
                before, state = state, await _answer(response)
            if state["state"] != before["state"]:
                yield state
    finally:
        if state["state"] != "ended":
            async with http.delete(path):
                pass  # 404 if the call has ended meanwhile


async def _answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body: dict[str, Any] = await response.json(content_type=None) if response.content_type.endswith("json") else {}
    if not response.ok:
        detail = body.get("detail", "no phone line: TALKSPURT_JANUS_URL is not set")
        raise OfferError(response.status, "refused", str(detail))
    return body
