"""Deliver the messages in the outbox by Standard Webhooks 1.0: signed, retried, and only to public addresses.

Tasks: `Deliverer.run`, one per process; it ends when it is cancelled. A process holds a message while it sends it,
so that several processes can share an outbox. If the process dies, another one sends the message after `HELD_S`, or
the same one does once it runs again. So a message may arrive twice, with the same id, but is never lost.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import aiohttp
from sqlalchemy import func, select, update
from standardwebhooks import Webhook

from agent.clock import Clock, unix
from agent.errors import ConfigError
from signaling.history.addresses import is_public
from signaling.history.complaints import Complaints
from signaling.history.database import FAILURES, Database
from signaling.history.outbox import (
    DELAYS_S,
    GONE,
    MESSAGE_TYPES,
    TOO_MUCH,
    Outcome,
    next_step,
    pause_s,
    read_retry_after,
)
from signaling.history.schema import outbox

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0  # per attempt
HELD_S = 120.0  # longer than all the attempts made under one claim can take
AT_ONCE = 8
CHECK_INTERVAL_S = 15.0  # finds messages that this process was not told about, such as those of other processes
SECRET_PREFIX = "whsec_"  # noqa: S105
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
FAILED_PAUSE_S = 5.0
PRIVATE = "the receiver is in a private network, see webhook_allow_private"


class Endpoint:
    """The receiver of the messages.

    Args:
        url: the receiver's URL.
        secrets: signing secrets, each ``whsec_`` and 24 to 64 bytes in base64; several while one replaces another.
        allow_private: the receiver may be in a private network, and may be called without TLS.
        delays_s: see `signaling.history.outbox.DELAYS_S`.

    Raises:
        ConfigError: the URL or a secret cannot be used.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        allow_private: bool = False,
        delays_s: tuple[float, ...] = DELAYS_S,
    ) -> None:
        scheme = url.partition("://")[0].lower()
        if scheme != "https" and not (allow_private and scheme == "http"):
            raise ConfigError("webhook_url: it must begin with https://, or with http:// and webhook_allow_private")
        if not secrets:
            raise ConfigError("webhook_secret: there is none, so that nobody could tell who sends the messages")
        self.url = url
        self.allow_private = allow_private
        self.delays_s = delays_s
        self._signers = [_signer(secret) for secret in secrets]

    def may_be_at(self, address: str) -> bool:
        """Return whether messages may be sent to an address."""
        return self.allow_private or is_public(address)

    def headers(self, message_id: str, body: str, now: float) -> dict[str, str]:
        """Return the headers of an attempt.

        Args:
            message_id: the message's id.
            body: the exact text that is sent.
            now: Unix seconds.
        """
        at = datetime.fromtimestamp(int(now), UTC)  # `sign` treats a time in any zone as UTC
        return {
            "Content-Type": "application/json",
            "User-Agent": "talkspurt",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": " ".join(signer.sign(message_id, at, body) for signer in self._signers),
        }


class Deliverer:
    """Send the messages of an outbox.

    Args:
        database: holds the outbox.
        worker: the name of this process; no other running process has it.
        endpoint: the receiver of the messages.
        news: set when a message has been written.
        clock: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        endpoint: Endpoint,
        news: asyncio.Event,
        clock: Clock = unix,
    ) -> None:
        self.counts: Counter[str] = Counter()
        "Attempts by outcome: ``delivered``, ``failed``, ``given_up``."
        self.gone = False
        "True once the receiver has answered 410 Gone: nothing is sent until the service starts again."
        self._database = database
        self._worker = worker
        self._endpoint = endpoint
        self._news = news
        self._clock = clock
        self._random = random.Random()  # noqa: S311  it spreads attempts
        self._too_much = 0
        self._quiet_until = 0.0
        self._complaints = Complaints(logger)

    async def run(self) -> None:
        """Send messages as they become due, until cancelled or until the receiver is gone."""
        connector = aiohttp.TCPConnector(
            limit=AT_ONCE, socket_factory=None if self._endpoint.allow_private else _public_socket
        )
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            while not self.gone:
                self._news.clear()
                try:
                    wait_s = await self._send_due(session)
                except FAILURES as error:
                    self._complaints.tell("webhooks: the outbox could not be read", error)
                    wait_s = FAILED_PAUSE_S
                if wait_s > 0:
                    await self._wait(wait_s)

    async def oldest_s(self) -> float:
        """Return how long the oldest message still to be delivered has waited; 0 if there is none."""
        first = select(func.min(outbox.c.created_ms)).where(outbox.c.done_ms.is_(None))
        async with self._database.read() as connection:
            created_ms = await connection.scalar(first)
        return 0.0 if created_ms is None else max(0.0, self._clock() - created_ms / 1000)

    async def _wait(self, wait_s: float) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), wait_s)
        except TimeoutError:
            return

    async def _send_due(self, session: aiohttp.ClientSession) -> float:
        """Send the messages that are due; return the seconds until the next check."""
        quiet_s = self._quiet_until - self._clock()
        if quiet_s > 0:
            return min(quiet_s, CHECK_INTERVAL_S)
        held = await self._claim()
        if not held:
            return await self._until_due()
        by_call = [list(rows) for _, rows in groupby(sorted(held, key=_order), key=lambda row: row["call_id"])]
        async with asyncio.TaskGroup() as group:
            for rows in by_call:
                group.create_task(self._send_in_turn(session, rows), name="webhook")
        return 0.0

    async def _send_in_turn(self, session: aiohttp.ClientSession, rows: Sequence[Any]) -> None:
        """Send the messages of one call in the order in which they were written."""
        for row in rows:
            outcome = await self._attempt(session, row["id"], row["body"])
            try:
                await self._settle(row, outcome)
            except FAILURES as error:  # it is sent again once it is no longer held
                self._complaints.tell("webhooks: that a message was sent could not be noted", error)

    async def _claim(self) -> Sequence[Any]:
        """Claim some messages that are due, so that no other process sends them."""
        now_ms = round(self._clock() * 1000)
        due = (
            select(outbox.c.id)
            .where(outbox.c.done_ms.is_(None), outbox.c.due_ms <= now_ms)
            .order_by(outbox.c.due_ms)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        hold = (
            update(outbox)
            .where(outbox.c.id.in_(select(due.c.id)))
            .values(holder=self._worker, due_ms=now_ms + round(HELD_S * 1000))
            .returning(outbox)
        )
        async with self._database.write() as connection:
            held: Sequence[Any] = (await connection.execute(hold)).mappings().all()
            return held

    async def _until_due(self) -> float:
        first = select(func.min(outbox.c.due_ms)).where(outbox.c.done_ms.is_(None))
        async with self._database.read() as connection:
            due_ms = await connection.scalar(first)
        return (
            CHECK_INTERVAL_S if due_ms is None else min(max(due_ms / 1000 - self._clock(), 0.01), CHECK_INTERVAL_S)
        )

    async def _attempt(self, session: aiohttp.ClientSession, message_id: str, body: str) -> Outcome:
        now = self._clock()
        try:
            async with session.post(
                self._endpoint.url,
                data=body.encode(),
                headers=self._endpoint.headers(message_id, body, now),
                allow_redirects=False,
            ) as response:
                return Outcome(
                    status=response.status,
                    retry_after_s=read_retry_after(response.headers.get("Retry-After"), now),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a timeout is an OSError
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            return Outcome(error=PRIVATE if PRIVATE in str(cause) else type(error).__name__)

    async def _settle(self, row: Any, outcome: Outcome) -> None:
        """Store the outcome of an attempt."""
        now = self._clock()
        attempts = row["attempts"] + 1
        step = next_step(attempts, outcome, self._random.uniform(-1, 1), self._endpoint.delays_s)
        if outcome.delivered:
            self._too_much = 0
        elif now >= self._quiet_until:  # otherwise this attempt had begun before the receiver's last refusal
            self._too_much += outcome.status in TOO_MUCH
            self._quiet_until = now + pause_s(outcome, self._too_much)
        if outcome.status == GONE and not self.gone:
            self.gone = True
            logger.error("webhooks: the receiver answered 410: nothing more is sent until the service starts again")
        values = {
            "attempts": attempts,
            "holder": None,
            "due_ms": round((now + step.wait_s) * 1000),
            "done_ms": round(now * 1000) if step.done else None,
            "error": None if outcome.delivered else str(outcome),
        }
        async with self._database.write() as connection:
            await connection.execute(update(outbox).where(outbox.c.id == row["id"]).values(values))
        self.counts["delivered" if outcome.delivered else "given_up" if step.done else "failed"] += 1
        if not outcome.delivered:
            last = ", and is given up" if step.done else ""
            self._complaints.tell(f"webhooks: message {row['id']} was not delivered{last}", str(outcome))


def _public_socket(address: Any) -> socket.socket:
    """Return a socket for a resolved address that is about to be connected to (aiohttp's `socket_factory`).

    Raises:
        OSError: the address is not on the public Internet.
    """
    family, kind, protocol, _, where = address
    if not is_public(where[0]):
        raise OSError(PRIVATE)
    return socket.socket(family=family, type=kind, proto=protocol)


def _signer(secret: str) -> Webhook:
    encoded = secret.removeprefix(SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ConfigError(
            f"webhook_secret: each must be {SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes "
            "in base64"
        )
    return Webhook(key)


def _order(row: Any) -> tuple[str, int]:
    """Return a sort key: by call, and within a call by the order of events."""
    return row["call_id"], MESSAGE_TYPES.index(row["type"])
