"""Keep a datagram that cannot be read from ending its call, or from making it deaf.

aiortc 1.16 reads a call's datagrams in one task, which catches what it expects of a malformed one; whatever else a
parser raises ends that task, and with it the connection. The caller can send many: one of over 1500 bytes, a header
extension of the wrong length, RTCP feedback that is cut off, an SCTP chunk that is not what it says.
(What strangers send does not come this far: `agent.media.tap.ice`.)

So here a bad packet costs one packet, and a good one not much more: feedback may ask for 5,000 packets at once, and
each packet may be of a new source, which aiortc never forgets. The names are private, but each is looked for before
it is replaced, whatever the version; what is not there is left alone.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.rtp import (
    RTP_HISTORY_SIZE,
    HeaderExtensions,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    unpack_header_extensions,
)

logger = logging.getLogger(__name__)

MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    UnboundLocalError,
    struct.error,
)
"""What parsers raise over bytes that they did not expect; the end of a connection is none of it."""
_TWO_BYTE_HEADER = 0x1000  # RFC 8285 section 4.3

MAX_SOURCES = 64  # of a connection that are remembered
MOST_RESENT = RTP_HISTORY_SIZE  # packets at once: aiortc has no more of them
RESENT_PER_S = 200.0  # voice has 50 in all
_BY_SOURCE = tuple(f"_RTCRtpReceiver__{name}" for name in ("remote_streams", "active_ssrc", "lsr", "lsr_time"))

_MOST_REPORTS, _MOST_JITTER = 31, 0xFFFFFFFF  # of a receiver report, RFC 3550 section 6.4.1

OnUnreadable = Callable[[], None]
Note = Callable[[Exception], None]


def guard(receiver: RTCRtpReceiver, on_unreadable: OnUnreadable) -> None:
    """Keep malformed datagrams from ending a receiver's connection.

    To be called once candidates are gathered and before the connection comes about; more than once does no harm,
    as for receivers that share a connection.

    Args:
        receiver: aiortc's.
        on_unreadable: called for each datagram that is dropped.
    """
    _guard_reports(receiver)
    transport: Any = receiver.transport
    if transport is None or not hasattr(transport, "_recv_next") or "_recv_next" in vars(transport):
        return
    unreadable = _note(on_unreadable)
    _guard_reading(transport, unreadable)
    _guard_header_extensions(transport)
    _guard_routing(transport)


def pass_over_empty_packets(receiver: RTCRtpReceiver) -> None:
    """Keep packets without a payload from aiortc's decoder: it takes one for the end of the stream."""
    handle: Any = getattr(receiver, "_handle_rtp_packet", None)
    if handle is None:
        return

    async def handle_rtp_packet(packet: Any, *args: Any, **named: Any) -> None:
        if packet.payload:
            await handle(packet, *args, **named)

    receiver._handle_rtp_packet = handle_rtp_packet  # type: ignore[method-assign]


def _note(on_unreadable: OnUnreadable) -> Note:
    """Return what counts the datagrams that are dropped, and logs the first: the others could fill the log."""
    first = True

    def note(error: Exception) -> None:
        nonlocal first
        on_unreadable()
        if first:
            first = False
            reason = f"{type(error).__name__} in {_place(error)}"
            logger.warning("dropped a datagram that cannot be read: %s; more will be counted only", reason)

    return note


def _place(error: Exception) -> str:
    """Return where an error was raised; its message may have the caller's words in it."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return f"{step.tb_frame.f_code.co_qualname}:{step.tb_lineno}" if step is not None else "?"


def _guard_reading(transport: Any, unreadable: Note) -> None:
    read_next = transport._recv_next

    async def recv_next() -> None:
        try:
            await read_next()
        except MALFORMED as error:
            unreadable(error)
            await asyncio.sleep(0)  # whatever was raised without waiting must not stop the loop

    transport._recv_next = recv_next


def _guard_header_extensions(transport: Any) -> None:
    """Pass over header extensions that are not what they should be: none is needed, but the mid is of use."""
    extensions_map = getattr(transport, "_rtp_header_extensions_map", None)
    if extensions_map is None:
        return
    get = extensions_map.get

    def get_what_is_readable(profile: int, value: bytes) -> HeaderExtensions:
        try:
            found: HeaderExtensions = get(profile, value)
        except MALFORMED:
            found = _each_by_itself(get, profile, value)
        return found

    extensions_map.get = get_what_is_readable


def _each_by_itself(get: Callable[[int, bytes], HeaderExtensions], profile: int, value: bytes) -> HeaderExtensions:
    found = HeaderExtensions()
    with suppress(ValueError):  # cut off
        for extension, content in unpack_header_extensions(profile, value):
            with suppress(*MALFORMED):
                read = get(_TWO_BYTE_HEADER, bytes((extension, len(content))) + content)
                vars(found).update({name: item for name, item in vars(read).items() if item is not None})
    return found


def _guard_routing(transport: Any) -> None:
    """Forget the oldest sources when there are too many, and send again only so much of what was lost."""
    router = getattr(transport, "_rtp_router", None)
    if router is None:
        return
    route_rtp, route_rtcp, sources = router.route_rtp, router.route_rtcp, router.ssrc_table
    left, at = float(MOST_RESENT), 0.0

    def route_known_rtp(packet: RtpPacket) -> Any:
        if len(sources) >= MAX_SOURCES and packet.ssrc not in sources:
            oldest = next(iter(sources))
            receiver = sources.pop(oldest)
            for name in _BY_SOURCE:
                getattr(receiver, name, {}).pop(oldest, None)
        return route_rtp(packet)

    def route_bounded_rtcp(packet: Any) -> Any:
        nonlocal left, at
        if isinstance(packet, RtcpRtpfbPacket):
            now = asyncio.get_running_loop().time()
            left, at = min(left + (now - at) * RESENT_PER_S, MOST_RESENT), now
            packet.lost = [*dict.fromkeys(packet.lost)][: int(left)]
            left -= len(packet.lost)
        return route_rtcp(packet)

    router.route_rtp, router.route_rtcp = route_known_rtp, route_bounded_rtcp


def _guard_reports(receiver: Any) -> None:
    """Make receiver reports fit; one that cannot be written would be the last, and `stop` would wait for ever.

    Timestamps that leap make a jitter of more than 32 bits, and each new SSRC is one more source for good.
    """
    send = getattr(receiver, "_send_rtcp", None)
    if send is None or "_send_rtcp" in vars(receiver):
        return

    async def send_rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpRrPacket):
            del packet.reports[_MOST_REPORTS // 2 : -_MOST_REPORTS // 2]  # the first and the newest stay
            for report in packet.reports:
                report.jitter = min(report.jitter, _MOST_JITTER)
        await send(packet)

    receiver._send_rtcp = send_rtcp
