"""Close a peer connection without leaving tasks, sockets or memory behind."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiortc import RTCPeerConnection
from aiortc.exceptions import InvalidStateError

from agent.media.tap import end as tap_end

logger = logging.getLogger(__name__)

POLL_S = 0.02
MAX_ICE_S = 0.2  # checks that take longer will not succeed in the next 20 ms
MAX_DTLS_S = 1.0  # enough for a handshake that lost a packet


async def close_peer(pc: RTCPeerConnection) -> None:
    """Close a peer connection in any state; its memory is freed with the last reference to it.

    A connection that is being established is given up to a second to finish. If it were closed meanwhile, aioice
    0.13 could keep a consent task for ever (between the last check's success and the end of `Connection.connect`),
    and aiortc 1.16 would start senders and receivers that nobody stops (during the DTLS handshake).
    """
    waited_s = 0.0
    while pc.connectionState == "connecting" and waited_s < MAX_DTLS_S:
        if pc.iceConnectionState == "checking" and waited_s >= MAX_ICE_S:
            break
        await asyncio.sleep(POLL_S)
        waited_s += POLL_S
    await pc.close()
    tap_end.let_go(pc)


def note_closed_connects(loop: asyncio.AbstractEventLoop) -> None:
    """Log unhandled errors of calls that end while they connect at debug level only.

    In such calls, aiortc's own task tries to start the closed transport, and uvloop's TLS reports a connection lost
    during its handshake. All other unhandled errors are reported as usual.
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
