"""Try what lies beyond the service: the database of the history, the receiver of webhooks, the collector of traces.

Nothing is created there, and nothing of any call is sent. Each try has a deadline.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from agent.errors import ConfigError
from agent.redact import shown_url
from agent.settings import Settings
from signaling import history, traces
from signaling.command.finding import Finding

TIMEOUT_S = 10.0

T = TypeVar("T")


async def examine_beyond(settings: Settings) -> AsyncIterator[Finding]:
    """Try what the settings name; yields nothing for what is off."""
    if settings.history_url is not None:
        yield await _history(settings)
    if settings.webhook_url is not None:
        yield await _webhooks(settings)
    if settings.otlp_endpoint is not None:
        yield await _traces(settings)


async def _history(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return Finding("good", "history", await history.try_database(settings))
    except ConfigError as error:
        return Finding("bad", "history", str(error))
    except TimeoutError:
        where = shown_url(str(settings.history_url))
        return Finding("bad", "history", f"history_url {where} did not answer within {TIMEOUT_S:g} s")


async def _webhooks(settings: Settings) -> Finding:
    """Look up where messages would go; nothing is sent, because a receiver takes every message for real."""
    try:
        endpoint = history.receiver_of(settings)
    except ConfigError as error:
        return Finding("bad", "webhooks", str(error))
    assert endpoint is not None
    try:
        host = urlsplit(endpoint.url).hostname or ""
        addresses = await _in_a_thread(partial(_addresses_of, host))
    except TimeoutError:
        return Finding("bad", "webhooks", f"webhook_url: no name server knew {host} within {TIMEOUT_S:g} s")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Finding("bad", "webhooks", f"webhook_url: {host} cannot be looked up: {reason}")
    except ValueError:
        return Finding("bad", "webhooks", "webhook_url: it does not name a host")
    if not any(map(endpoint.may_be_at, addresses)):
        return Finding(
            "bad",
            "webhooks",
            f"webhook_url: {host} is in a private network ({', '.join(addresses)}), so nothing will be sent there: "
            "set webhook_allow_private if that is right",
        )
    return Finding("good", "webhooks", f"{host} is {', '.join(addresses)}; nothing was sent there")


def _addresses_of(host: str) -> list[str]:
    """Return a host's addresses, which blocks.

    Raises:
        OSError: it cannot be looked up.
        ValueError: it cannot be a host's name.
    """
    if not host:
        raise ValueError(host)
    return list(dict.fromkeys(str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)))


async def _traces(settings: Settings) -> Finding:
    where = shown_url(str(settings.otlp_endpoint))
    try:
        try_collector = traces.collector_of(settings)
        fault = await _in_a_thread(try_collector)
    except ConfigError as error:
        return Finding("bad", "traces", str(error))
    except TimeoutError:
        fault = f"no answer within {TIMEOUT_S:g} s"
    if fault is not None:
        return Finding("bad", "traces", f"otlp_endpoint {where} takes no traces: {fault}")
    return Finding("good", "traces", f"{where} takes traces")


async def _in_a_thread(work: Callable[[], T]) -> T:
    """Do what blocks in a thread that nobody waits for at the end.

    Raises:
        TimeoutError: it takes longer than `TIMEOUT_S`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: Exception | None) -> None:
        if done.done():  # given up
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except (OSError, ValueError) as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wait_for(done, TIMEOUT_S)
