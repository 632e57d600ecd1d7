"""Notice when a caller's connection is never established, is closed, or is silent for too long.

aiortc itself notices a lost connection only after some 30 s, and then reports it like a closed one. So the arriving
packets of RTP, RTCP and the data channel are counted here; a caller who is muted or only listens still sends RTCP.
Only authenticated packets count, so forged ones cannot keep a call alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from aiortc import RTCPeerConnection

from agent.call.call import Call
from agent.call.timeline import Timeline
from agent.clock import Clock
from agent.events import Fault, QualityEstimated
from agent.media.tap.arrivals import Arrivals
from agent.settings import Settings

ARRIVALS_POLL_S = 1.0
CLOSED_WITHIN_S = 3.0  # if it ends this soon after the last packet, the caller closed it and did not lose it


@dataclass(frozen=True, slots=True)
class Gone:
    """A connection that is over, or that never came about.

    Attributes:
        reason, detail, fault: see `agent.events.CallEnded`.
        heard_at: when the caller was last heard over it, in monotonic seconds; None if never.
    """

    reason: str
    detail: str
    fault: Fault
    heard_at: float | None


async def watch_connection(
    pc: RTCPeerConnection,
    arrivals: list[Arrivals] | None,
    call: Call,
    settings: Settings,
    clock: Clock,
    on_connected: Callable[[], None],
    on_heard: Callable[[], None],
    measure: Callable[[float], Awaitable[QualityEstimated | None]],
) -> Gone:
    """Return how a connection ended: it is closed, silent for too long, or was not established in time.

    Args:
        pc: the connection.
        arrivals: counts what came over it; None if that is not possible.
        call: the call on it.
        settings: the limits.
        clock: monotonic seconds.
        on_connected: called once it is established.
        on_heard: called about once a second while something comes from the caller.
        measure: called with the time; estimates the quality in the window that has just ended, see `Quality`.
    """
    changed = asyncio.Event()
    pc.on("connectionstatechange", changed.set)
    pc.on("iceconnectionstatechange", partial(_note_ice, pc, call.timeline, clock))
    if not await _connects(pc, changed, settings.connect_timeout_s):
        detail = f"No media connection came about within {settings.connect_timeout_s:g} s."
        return Gone("never_connected", detail, "network", None)
    on_connected()
    call.media_flows()
    heard_at, packets = clock(), -1
    while pc.connectionState == "connected":
        count = await _packets_received(pc) if arrivals is None else sum(each.packets for each in arrivals)
        if count != packets:
            heard_at, packets = clock(), count
            on_heard()
        elif clock() - heard_at >= settings.ice_grace_s:
            break
        if call.quality.is_due(clock()):
            estimated = await measure(clock())
            if estimated is not None:
                call.observers.tell(estimated)
        await _change(changed, ARRIVALS_POLL_S)
    if pc.connectionState == "closed" and clock() - heard_at <= CLOSED_WITHIN_S:
        return Gone("caller_left", "The caller closed the connection.", "caller", heard_at)
    return Gone("ice_lost", "The connection to the caller was lost.", "network", heard_at)


def _note_ice(pc: RTCPeerConnection, timeline: Timeline, clock: Clock) -> None:
    if pc.iceConnectionState == "completed":
        timeline.reach("ice", clock())


async def _connects(pc: RTCPeerConnection, changed: asyncio.Event, limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            while pc.connectionState in ("new", "connecting"):
                changed.clear()
                await changed.wait()
    except TimeoutError:
        return False
    return pc.connectionState == "connected"


async def _change(changed: asyncio.Event, at_most_s: float) -> None:
    changed.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await changed.wait()


async def _packets_received(pc: RTCPeerConnection) -> int:
    """Count packets on the audio and video transports, authentic or not (webrtc-stats, RTCTransportStats)."""
    receivers = {receiver.transport: receiver for receiver in pc.getReceivers()}.values()
    reports = [report for receiver in receivers for report in (await receiver.getStats()).values()]
    return sum(report.packetsReceived for report in reports if report.type == "transport")
