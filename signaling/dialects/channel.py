"""A data channel for dialects: messages are never too long for the client, and errors stay in the dialect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from agent.isolate import isolated
from agent.media.tap.sctp import undelivered_texts
from signaling.dialects.shorten import shortened
from signaling.webrtc.client_leg import ClientLeg

logger = logging.getLogger(__name__)

MAX_BUFFERED_BYTES = 512 << 10  # with more than this waiting, the client has stopped reading
LAST_WORDS_TIMEOUT_S = 0.5


class TextChannel:
    """Reads and writes the messages of one dialect.

    Args:
        leg: the call; its ``messages`` counts those that were shortened or dropped.
        channel: the client's data channel.
    """

    def __init__(self, leg: ClientLeg, channel: RTCDataChannel) -> None:
        self._leg = leg
        self._channel = channel
        self._left = False

    @property
    def open(self) -> bool:
        """True until the channel is closed or left."""
        return self._channel.readyState == "open" and not self._left

    def leave(self) -> list[str]:
        """Write nothing any more; return the messages that the client has not acknowledged, oldest first."""
        self._left = True
        return undelivered_texts(self._channel)

    def read(self, take: Callable[[str | bytes], None]) -> None:
        """Pass each untrusted message to ``take``. Its errors are contained here: they would end the call."""
        what = f"call {self._leg.call.call_id}: a message from the client"

        def came(data: str | bytes) -> None:
            if not isolated(what, lambda: take(data)):
                self._leg.messages.failed += 1

        self._channel.on("message", came)

    def write(self, text: str, *, last: bool = False) -> None:
        """Send a message: shortened if it is too long for the client, and dropped if the client does not read.

        Args:
            text: what `to_json` returned.
            last: nothing follows it, so it is sent even if too much is waiting.
        """
        if self._channel.readyState != "open":
            return
        max_bytes, counts = self._leg.max_message_bytes, self._leg.messages
        if len(text) * 4 > max_bytes and len(text.encode()) > max_bytes:
            short = shortened(text, max_bytes)
            if short is None:
                counts.dropped += 1
                return
            text = short
            counts.shortened += 1
        waiting_bytes = self._channel.bufferedAmount + len(text.encode())
        if waiting_bytes > MAX_BUFFERED_BYTES + (max_bytes if last else 0):
            counts.dropped += 1
            return
        try:
            self._channel.send(text)
        except (InvalidStateError, ValueError, ConnectionError) as error:
            counts.dropped += 1
            logger.warning(
                "call %s: a message to the client was not sent: %s", self._leg.call.call_id, type(error).__name__
            )

    async def flush(self) -> None:
        """Wait a moment for written messages to be sent."""
        counts = self._leg.messages
        if counts.dropped or counts.shortened:
            logger.warning(
                "call %s: %d messages to the client were dropped and %d were shortened",
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
            logger.debug("call %s: the client did not receive the last messages in time", self._leg.call.call_id)
