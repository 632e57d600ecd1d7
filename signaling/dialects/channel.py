"""A data channel as dialects use it: no message is too long for the client, and no error leaves a dialect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from agent.isolate import isolated
from signaling.dialects.shorten import shortened
from signaling.webrtc.leg import ClientLeg

logger = logging.getLogger(__name__)

MAX_BUFFERED_BYTES = 512 << 10  # beyond it the client has stopped reading
LAST_WORDS_TIMEOUT_S = 0.5


class TextChannel:
    """Writes and reads the messages of one dialect.

    Args:
        leg: the call; what could not be told as it was is counted in its ``messages``.
        channel: the client's.
    """

    def __init__(self, leg: ClientLeg, channel: RTCDataChannel) -> None:
        self._leg = leg
        self._channel = channel

    def read(self, take: Callable[[str | bytes], None]) -> None:
        """Hand on each message of the client: untrusted. What ``take`` raises stays here: it would end the call."""
        what = f"call {self._leg.call.call_id}: a message of the client"

        def came(data: str | bytes) -> None:
            if not isolated(what, lambda: take(data)):
                self._leg.messages.failed += 1

        self._channel.on("message", came)

    def write(self, text: str, *, last: bool = False) -> None:
        """Send a message: shortened if it is too long for the client, or not at all if the client does not read.

        Args:
            text: of `to_json`.
            last: nothing follows it; it is sent although much is waiting.
        """
        if self._channel.readyState != "open":
            return
        most_bytes, counts = self._leg.max_message_bytes, self._leg.messages
        if len(text) * 4 > most_bytes and len(text.encode()) > most_bytes:
            short = shortened(text, most_bytes)
            if short is None:
                counts.dropped += 1
                return
            text = short
            counts.shortened += 1
        waiting_bytes = self._channel.bufferedAmount + len(text.encode())
        if waiting_bytes > MAX_BUFFERED_BYTES + (most_bytes if last else 0):
            counts.dropped += 1
            return
        try:
            self._channel.send(text)
        except (InvalidStateError, ValueError, ConnectionError) as error:
            counts.dropped += 1
            logger.warning("call %s: a message was not sent: %s", self._leg.call.call_id, type(error).__name__)

    async def flush(self) -> None:
        """Wait a moment for what was written to leave."""
        counts = self._leg.messages
        if counts.dropped or counts.shortened:
            logger.warning(
                "call %s: of the messages to the client %d were dropped and %d shortened",
                *(self._leg.call.call_id, counts.dropped, counts.shortened),
            )
        if self._channel.readyState != "open" or self._channel.bufferedAmount == 0:
            return
        emptied = asyncio.Event()
        self._channel.bufferedAmountLowThreshold = 0
        self._channel.on("bufferedamountlow", emptied.set)
        try:
            async with asyncio.timeout(LAST_WORDS_TIMEOUT_S):
                await emptied.wait()
        except TimeoutError:
            logger.debug("call %s: the last messages were not taken in time", self._leg.call.call_id)
