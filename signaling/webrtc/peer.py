"""Close a peer connection so that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiortc import RTCPeerConnection
from aiortc.exceptions import InvalidStateError

from agent.media.tap import end as tap_end

logger = logging.getLogger(__name__)

_STEP_S = 0.02
_STEPS_OF_ICE = 10  # what takes longer will not succeed in the next 20 ms
_STEPS_OF_DTLS = 50  # 1 s: a handshake that lost a packet


async def close_peer(pc: RTCPeerConnection) -> None:
    """Close a peer connection in any state; its memory goes with the last reference to it.

    A connection that is about to come about is let, for up to a second. Closed in the middle of it, aioice 0.13
    may keep a consent task for ever (closed between the last check's success and the end of
    `Connection.connect`), and aiortc 1.16 starts senders and receivers that nobody stops (closed during the
    DTLS handshake).
    """
    for step in range(_STEPS_OF_DTLS):
        if pc.connectionState != "connecting" or (step >= _STEPS_OF_ICE and pc.iceConnectionState == "checking"):
            break
        await asyncio.sleep(_STEP_S)
    await pc.close()
    tap_end.let_go(pc)


def note_closed_connects(loop: asyncio.AbstractEventLoop) -> None:
    """Log at debug level what is left as an unhandled error when a call ends while it is connecting.

    aiortc's own task then tries to start the transport that was closed, and uvloop's TLS reports the connection
    that went away in its handshake. Every other unhandled error is reported as ever.
    """

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("future")
        name = getattr(task.get_coro(), "__qualname__", "") if isinstance(task, asyncio.Task) else ""
        if isinstance(context.get("exception"), InvalidStateError) and name == "RTCPeerConnection.__connect":
            logger.debug("a peer connection was closed while it was connecting")
        elif str(context.get("message", "")).startswith("Fatal error on SSL protocol"):
            logger.debug("a Live session was given up while it was connecting")
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(report)
