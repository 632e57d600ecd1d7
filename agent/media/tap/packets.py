"""Send RTP packets of one's own through a connection that aiortc set up: for synthetic callers, and peers in tests.

aiortc's sender takes a task, an encoder, and some hundred microseconds per packet. A caller whose packets were
encoded beforehand needs only the header, SRTP and the socket. This file uses private names of aiortc and aioice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpSender

_HEADER = struct.Struct("!BBHII")
_VERSION_2 = 0x80

Send = Callable[[int, int, int, bytes], None]
"""Sends a packet: its payload type with the marker as the highest bit, sequence number, timestamp and payload."""


def rtp_sender(sender: RTCRtpSender) -> Send:
    """Return what sends packets as this sender's, which itself must have nothing to send.

    Call this once the connection is up.

    Raises:
        AttributeError: this aiortc or aioice is not the expected one.
    """
    transport: Any = sender.transport
    connection: Any = transport.transport._connection
    protect: Callable[[bytes], bytes] = transport._tx_srtp.protect
    ssrc: int = sender._ssrc
    nominated = connection._nominated

    def send(kind: int, sequence: int, timestamp: int, payload: bytes) -> None:
        pair = nominated.get(1)
        if pair is None or pair.protocol.transport is None:
            return  # the connection is gone; its owner is told so elsewhere
        header = _HEADER.pack(_VERSION_2, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        pair.protocol.transport.sendto(protect(header + payload), pair.remote_addr)

    return send


def vanish(sender: RTCRtpSender) -> None:
    """Send nothing more over a sender's connection, on any layer: closing it tells the peer nothing."""
    connection: Any = sender.transport.transport._connection

    async def nothing(_data: bytes, _component: int) -> None:
        pass

    connection.sendto = nothing
    for pair in connection._nominated.values():
        if pair.protocol.transport is not None:
            pair.protocol.transport.abort()
