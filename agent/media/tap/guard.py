"""Keep unreadable datagrams from ending a call or making it deaf.

aiortc 1.16 reads a call's datagrams in one task, which catches the errors it expects from malformed ones. Any other
exception from a parser ends the task, and with it the connection. A caller can easily cause one: by a datagram of
over 1500 bytes, a header extension of the wrong length, truncated RTCP feedback, or an invalid SCTP chunk.
(Datagrams from strangers do not come this far: `agent.media.tap.ice`.)

With this guard a bad packet costs only itself. It also limits what valid packets may cost: feedback could ask for
5,000 packets at once, and each packet could come from a new source, which aiortc never forgets. The names used are
private; each is looked up before it is replaced, whatever the version, and left alone if it is not there.
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

from agent.bucket import Bucket

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
"""What parsers raise on unexpected bytes; the end of a connection is not among these."""
_TWO_BYTE_HEADER = 0x1000  # RFC 8285 section 4.3

MAX_SOURCES = 64
MAX_RESENT_AT_ONCE = RTP_HISTORY_SIZE  # aiortc keeps no more packets than this
MAX_RESENT_PER_S = 200.0  # a voice stream has 50 packets per second
_BY_SOURCE = tuple(f"_RTCRtpReceiver__{name}" for name in ("remote_streams", "active_ssrc", "lsr", "lsr_time"))

_MAX_REPORTS, _MAX_JITTER = 31, 0xFFFFFFFF  # in a receiver report, RFC 3550 section 6.4.1

OnUnreadable = Callable[[], None]
Note = Callable[[Exception], None]


def guard(receiver: RTCRtpReceiver, on_unreadable: OnUnreadable) -> None:
    """Keep malformed datagrams from ending a receiver's connection.

    Call this once candidates are gathered and before the connection is made. Calling it again does no harm, for
    example for receivers that share a connection.

    Args:
        receiver: aiortc's receiver.
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
    """Keep packets without a payload from aiortc's decoder, which would take one for the end of the stream."""
    handle: Any = getattr(receiver, "_handle_rtp_packet", None)
    if handle is None:
        return

    async def handle_rtp_packet(packet: Any, *args: Any, **named: Any) -> None:
        if packet.payload:
            await handle(packet, *args, **named)

    receiver._handle_rtp_packet = handle_rtp_packet  # type: ignore[method-assign]


def _note(on_unreadable: OnUnreadable) -> Note:
    """Return a function that counts dropped datagrams and logs the first; more could fill the log."""
    first = True

    def note(error: Exception) -> None:
        nonlocal first
        on_unreadable()
        if first:
            first = False
            reason = f"{type(error).__name__} in {_place(error)}"
            logger.warning("dropped an unreadable datagram: %s; further ones are only counted", reason)

    return note


def _place(error: Exception) -> str:
    """Return where an error was raised, without its message, which may contain the caller's words."""
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
            await asyncio.sleep(0)  # an error that is raised without any waiting must not block the event loop

    transport._recv_next = recv_next


def _guard_header_extensions(transport: Any) -> None:
    """Skip invalid header extensions; none is essential, but the mid is useful."""
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
    with suppress(ValueError):  # truncated
        for extension, content in unpack_header_extensions(profile, value):
            with suppress(*MALFORMED):
                read = get(_TWO_BYTE_HEADER, bytes((extension, len(content))) + content)
                vars(found).update({name: item for name, item in vars(read).items() if item is not None})
    return found


def _guard_routing(transport: Any) -> None:
    """Forget the oldest sources when there are too many, and limit how many packets are resent."""
    router = getattr(transport, "_rtp_router", None)
    if router is None:
        return
    route_rtp, route_rtcp, sources = router.route_rtp, router.route_rtcp, router.ssrc_table
    resent = Bucket(MAX_RESENT_PER_S, MAX_RESENT_AT_ONCE)

    def route_known_rtp(packet: RtpPacket) -> Any:
        if len(sources) >= MAX_SOURCES and packet.ssrc not in sources:
            oldest = next(iter(sources))
            receiver = sources.pop(oldest)
            for name in _BY_SOURCE:
                getattr(receiver, name, {}).pop(oldest, None)
        return route_rtp(packet)

    def route_bounded_rtcp(packet: Any) -> Any:
        if isinstance(packet, RtcpRtpfbPacket):
            now = asyncio.get_running_loop().time()
            room = min(int(resent.room(now)), MAX_RESENT_AT_ONCE)
            packet.lost = [*dict.fromkeys(packet.lost)][:room]
            resent.take(len(packet.lost), now)
        return route_rtcp(packet)

    router.route_rtp, router.route_rtcp = route_known_rtp, route_bounded_rtcp


def _guard_reports(receiver: Any) -> None:
    """Keep receiver reports within their format: after one that cannot be written, `stop` would wait for ever.

    Timestamps that jump lead to a jitter of more than 32 bits, and each new SSRC adds a source that stays.
    """
    send = getattr(receiver, "_send_rtcp", None)
    if send is None or "_send_rtcp" in vars(receiver):
        return

    async def send_rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpRrPacket):
            del packet.reports[_MAX_REPORTS // 2 : -_MAX_REPORTS // 2]  # keep the first and the newest
            for report in packet.reports:
                report.jitter = min(report.jitter, _MAX_JITTER)
        await send(packet)

    receiver._send_rtcp = send_rtcp
