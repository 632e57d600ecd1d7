"""Bound what a caller's data channel may cost: one of the files with private names of aiortc.

aiortc puts a message together from its fragments however many there are, looking at all of them again with each
that comes (16 MiB take it 12 s of the loop), opens as many channels as are asked for, ends the whole connection
when a chunk surprises it, reads a parameter of no length for ever, and counts for seconds over an acknowledgement
of what was never sent. Here a chunk that cannot be read is dropped, and whoever sends more than was announced loses
the data channels at once; the call itself goes on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiortc.rtcsctptransport
from aiortc import RTCPeerConnection
from aiortc.rtcsctptransport import (
    SCTP_DATA_LAST_FRAG,
    SCTP_TSN_MODULO,
    DataChunk,
    ForwardTsnChunk,
    RTCSctpTransport,
    SackChunk,
)
from aiortc.utils import uint32_gte

from agent.media.tap.ice import UNREADABLE, dropped

MAX_MESSAGE_BYTES = RTCSctpTransport.getCapabilities().maxMessageSize  # what aiortc's answer announces
MAX_FRAGMENTS = 1024  # without an end; networks carry some 1,000 bytes in each
MAX_STREAMS = 8
MAX_MISORDERED = 2048  # chunks that came behind one that is missing; aiortc sorts them with each that comes
MAX_UNFINISHED_BYTES = 4 * MAX_MESSAGE_BYTES  # parts of several messages, when ends get lost

OnAbuse = Callable[[str], None]


@dataclass(slots=True)
class _Unfinished:
    """The fragments of a stream that came since the last one that ended a message."""

    fragments: int = 0
    size_bytes: int = 0


class _Guard:
    """Watches one association."""

    def __init__(self, sctp: Any, on_abuse: OnAbuse) -> None:
        self._sctp = sctp
        self._on_abuse = on_abuse
        self._streams: dict[int, _Unfinished] = {}
        self._closed = False
        self._handle_data, sctp._handle_data = sctp._handle_data, self._take_datagram
        self._receive_data_chunk, sctp._receive_data_chunk = sctp._receive_data_chunk, self._take_fragment
        self._receive, sctp._receive = sctp._receive, self._take_message
        self._receive_sack, sctp._receive_sack_chunk = sctp._receive_sack_chunk, self._take_acknowledgement
        self._receive_forward, sctp._receive_forward_tsn_chunk = (
            sctp._receive_forward_tsn_chunk,
            self._take_forward,
        )

    async def _take_datagram(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            await self._handle_data(data)
        except UNREADABLE:
            dropped["malformed"] += 1

    async def _take_fragment(self, chunk: DataChunk) -> None:
        if self._closed:
            return
        objection = None if self._has(chunk.tsn) else self._objection(chunk)
        if objection is None:
            await self._receive_data_chunk(chunk)
        else:
            await self._close(objection)

    async def _take_acknowledgement(self, chunk: SackChunk) -> None:
        """Pass on what is said of chunks that were sent: gap blocks one after the other (RFC 9260 3.3.4)."""
        waiting = (self._sctp._local_tsn - 1 - chunk.cumulative_tsn) % SCTP_TSN_MODULO
        if waiting >= SCTP_TSN_MODULO // 2:
            raise ValueError("SCTP acknowledgement of what was not sent")
        gaps, end = list[tuple[int, int]](), 0
        for first, last in sorted(chunk.gaps):
            if end < first <= last <= waiting:
                gaps.append((first, last))
                end = last
        chunk.gaps = gaps
        await self._receive_sack(chunk)

    async def _take_forward(self, chunk: ForwardTsnChunk) -> None:
        """Pass on that messages were given up (RFC 3758); of a stream that is named the place is remembered."""
        for stream_id, _ in chunk.streams:
            self._streams.setdefault(stream_id, _Unfinished())
        if len(self._streams) > MAX_STREAMS:
            await self._close(f"opened more than {MAX_STREAMS} data channels")
        else:
            await self._receive_forward(chunk)

    async def _take_message(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if self._closed:
            return
        if len(data) > MAX_MESSAGE_BYTES:
            await self._close(f"sent a message of more than {MAX_MESSAGE_BYTES} bytes")
        else:
            await self._receive(stream_id, pp_id, data)

    def _has(self, tsn: int) -> bool:
        """Say whether a fragment came before; aiortc passes over it then."""
        return tsn in self._sctp._sack_misordered or uint32_gte(self._sctp._last_received_tsn, tsn)

    def _objection(self, chunk: DataChunk) -> str | None:
        stream = self._streams.setdefault(chunk.stream_id, _Unfinished())
        stream.fragments += 1
        stream.size_bytes += len(chunk.user_data)
        objection = None
        if len(self._streams) > MAX_STREAMS:
            objection = f"opened more than {MAX_STREAMS} data channels"
        elif stream.fragments > MAX_FRAGMENTS:
            objection = f"sent more than {MAX_FRAGMENTS} fragments without an end"
        elif stream.size_bytes > MAX_UNFINISHED_BYTES:
            objection = f"sent a message of more than {MAX_MESSAGE_BYTES} bytes"
        elif (
            self._sctp._advertised_rwnd < len(chunk.user_data) or len(self._sctp._sack_misordered) >= MAX_MISORDERED
        ):
            objection = "sent more than may wait for what was lost"
        if chunk.flags & SCTP_DATA_LAST_FRAG:
            stream.fragments = stream.size_bytes = 0
        return objection

    async def _close(self, objection: str) -> None:
        self._closed = True
        await self._sctp._abort()
        self._sctp._set_state(self._sctp.State.CLOSED)
        self._on_abuse(objection)


def decode_params(body: bytes) -> list[tuple[int, bytes]]:
    """Read a chunk's parameters, as aiortc's function of this name does; it never gets past one of length 0.

    Raises:
        ValueError: one is shorter than its own header (RFC 9260 section 3.2.1).
    """
    params, at = list[tuple[int, bytes]](), 0
    while at <= len(body) - 4:
        kind, length = struct.unpack_from("!HH", body, at)
        if length < 4:
            raise ValueError("SCTP parameter is shorter than its header")
        params.append((kind, body[at + 4 : at + length]))
        at += length + -length % 4
    return params


def guard_channels(pc: RTCPeerConnection, on_abuse: OnAbuse) -> None:
    """Bound the data channels of a peer connection; to be called before media flows.

    Args:
        pc: the peer connection; one without data channels is left as it is.
        on_abuse: called once, with what the peer did, when its channels were closed for it.
    """
    if pc.sctp is not None:
        aiortc.rtcsctptransport.decode_params = decode_params
        _Guard(pc.sctp, on_abuse)
