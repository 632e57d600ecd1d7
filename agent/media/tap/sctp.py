"""Limit what a caller's data channel may cost. This file uses private names of aiortc.

aiortc assembles a message from any number of fragments and looks at all of them again with each new one (16 MiB
block the event loop for 12 s). It opens any number of channels, ends the whole connection on an unexpected chunk,
loops for ever on a parameter of length zero, and for seconds on an acknowledgement of chunks that were never sent.
Here unreadable chunks are dropped, and a caller who sends more than was announced loses the data channels at once,
while the call itself goes on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiortc.rtcsctptransport
from aiortc import RTCDataChannel, RTCPeerConnection
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_TSN_MODULO,
    WEBRTC_STRING,
    DataChunk,
    ForwardTsnChunk,
    RTCSctpTransport,
    SackChunk,
)
from aiortc.utils import uint32_gte

from agent.media.tap.ice import UNREADABLE, dropped

MAX_MESSAGE_BYTES = RTCSctpTransport.getCapabilities().maxMessageSize  # announced in aiortc's answer
MAX_FRAGMENTS_WITHOUT_END = 1024  # networks carry about 1,000 bytes in each
MAX_STREAMS = 8
MAX_MISORDERED_CHUNKS = 2048  # chunks behind a missing one, which aiortc sorts again with each new chunk
MAX_UNFINISHED_BYTES = 4 * MAX_MESSAGE_BYTES  # several messages may be unfinished if their ends get lost

OnAbuse = Callable[[str], None]


@dataclass(slots=True)
class _Unfinished:
    """A stream's fragments since the last one that ended a message."""

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
        """Pass on an acknowledgement of chunks that were sent, with gap blocks in order (RFC 9260 3.3.4)."""
        waiting = (self._sctp._local_tsn - 1 - chunk.cumulative_tsn) % SCTP_TSN_MODULO
        if waiting >= SCTP_TSN_MODULO // 2:
            raise ValueError("SCTP acknowledgement of chunks that were not sent")
        gaps, end = list[tuple[int, int]](), 0
        for first, last in sorted(chunk.gaps):
            if end < first <= last <= waiting:
                gaps.append((first, last))
                end = last
        chunk.gaps = gaps
        await self._receive_sack(chunk)

    async def _take_forward(self, chunk: ForwardTsnChunk) -> None:
        """Pass on that messages were abandoned (RFC 3758); the streams it names count as opened."""
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
        """Return True if a fragment came before, in which case aiortc ignores it."""
        return tsn in self._sctp._sack_misordered or uint32_gte(self._sctp._last_received_tsn, tsn)

    def _objection(self, chunk: DataChunk) -> str | None:
        stream = self._streams.setdefault(chunk.stream_id, _Unfinished())
        stream.fragments += 1
        stream.size_bytes += len(chunk.user_data)
        objection = None
        if len(self._streams) > MAX_STREAMS:
            objection = f"opened more than {MAX_STREAMS} data channels"
        elif stream.fragments > MAX_FRAGMENTS_WITHOUT_END:
            objection = f"sent more than {MAX_FRAGMENTS_WITHOUT_END} fragments without an end"
        elif stream.size_bytes > MAX_UNFINISHED_BYTES:
            objection = f"sent a message of more than {MAX_MESSAGE_BYTES} bytes"
        elif (
            self._sctp._advertised_rwnd < len(chunk.user_data)
            or len(self._sctp._sack_misordered) >= MAX_MISORDERED_CHUNKS
        ):
            objection = "sent too much behind a missing chunk"
        if chunk.flags & SCTP_DATA_LAST_FRAG:
            stream.fragments = stream.size_bytes = 0
        return objection

    async def _close(self, objection: str) -> None:
        self._closed = True
        await self._sctp._abort()
        self._sctp._set_state(self._sctp.State.CLOSED)
        self._on_abuse(objection)


def decode_params(body: bytes) -> list[tuple[int, bytes]]:
    """Parse a chunk's parameters, as aiortc's function of the same name does, which loops for ever on length 0.

    Raises:
        ValueError: a parameter is shorter than its own header (RFC 9260 section 3.2.1).
    """
    params, at = list[tuple[int, bytes]](), 0
    while at <= len(body) - 4:
        kind, length = struct.unpack_from("!HH", body, at)
        if length < 4:
            raise ValueError("an SCTP parameter is shorter than its header")
        params.append((kind, body[at + 4 : at + length]))
        at += length + -length % 4
    return params


def guard_channels(pc: RTCPeerConnection, on_abuse: OnAbuse) -> None:
    """Limit the data channels of a peer connection; call it before media flows.

    Args:
        pc: the peer connection; one without data channels is left unchanged.
        on_abuse: called once when the channels are closed, with what the peer did.
    """
    if pc.sctp is not None:
        aiortc.rtcsctptransport.decode_params = decode_params
        _Guard(pc.sctp, on_abuse)


def undelivered_texts(channel: RTCDataChannel) -> list[str]:
    """Return the texts sent over an ordered channel that the other side may not have received, oldest first.

    Everything after the first chunk that is not acknowledged counts, because it is delivered in order. Of a text
    whose beginning was acknowledged the rest alone would be of no use.
    """
    sctp: Any = channel.transport
    texts: list[str] = []
    begun: list[bytes] | None = None
    for chunk in (*getattr(sctp, "_sent_queue", ()), *getattr(sctp, "_outbound_queue", ())):
        if chunk.stream_id != channel.id or chunk.protocol != WEBRTC_STRING:
            continue
        if chunk.flags & SCTP_DATA_FIRST_FRAG:
            begun = []
        if begun is not None:
            begun.append(chunk.user_data)
            if chunk.flags & SCTP_DATA_LAST_FRAG:
                texts.append(b"".join(begun).decode())
                begun = None
    waiting = getattr(sctp, "_data_channel_queue", ())
    return [*texts, *(data.decode() for owner, kind, data in waiting if owner is channel and kind == WEBRTC_STRING)]
