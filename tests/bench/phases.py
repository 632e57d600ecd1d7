"""The measurements, one function each: a fresh service, callers, figures. Times are seconds, monotonic."""

from __future__ import annotations

import asyncio
import math
import os
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from agent.call.stats import watch_loop
from tests.bench.callers import Caller, calling
from tests.bench.live_server import (
    GENERATION_COMPLETE,
    INTERRUPTED,
    TURN_COMPLETE,
    LiveServer,
    marker_messages,
    running_live_server,
)
from tests.bench.load import Load, add_callers, loading
from tests.bench.service import Service, Usage, memory_mb, running_service, usage, yardstick_ms

MARKER_S = 0.2
REPLY_S = 4.0
REPLY_PACE = 2.0  # the Live API sends about twice as fast as is heard
SETTLE_S = 2.0
CAMERA_TURN_S = 2.0
CAMERA_WARM_S = 0.5
WHOLE = 0.99  # of the packets, or of the audio, for a direction to count as delivered under load
RESOLUTION = 15  # the capacity is found to one part in so many
STEP_LIMIT_S = 90.0

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured where.

    Attributes:
        service: ``talkspurt`` or ``plain``.
        core: the service's.
        seed: of everything random.
        seconds: of each measurement.
    """

    service: str
    core: int
    seed: int
    seconds: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return a value below which that share of the values lies (nearest rank); nan if there is none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@asynccontextmanager
async def _stage(bench: Bench, *, listens: bool, max_calls: int = 100) -> AsyncIterator[tuple[LiveServer, Service]]:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running_live_server(Path(folder), listens=listens) as live,
            running_service(bench.service, live, core=bench.core, max_calls=max_calls) as service,
        ):
            yield live, service


class Watch:
    """Whether the figures of a stretch of time can be trusted: what the harness and the machine did meanwhile."""

    def __init__(self, service: Service) -> None:
        self.worst_lag_s = 0.0
        "How late the harness's own event loop was at worst."
        self._service = service
        self._yardstick_ms = yardstick_ms(service.core)
        self._lag = asyncio.create_task(watch_loop(self._note))
        self._from = self._both()

    def close(self) -> Figures:
        """Watch no longer; return what tells whether the machine let the service and the harness run."""
        self._lag.cancel()
        service, harness = (after.since(before) for before, after in zip(self._from, self._both(), strict=True))
        return {
            "seconds": service.at,
            "service_cpu_pct": 100 * service.cpu_s / service.at,
            "service_core_foreign_pct": service.foreign_pct,
            "harness_cpu_pct": 100 * harness.cpu_s / harness.at,
            "harness_core_foreign_pct": harness.foreign_pct,
            "harness_worst_lag_ms": 1e3 * self.worst_lag_s,
            "yardstick_ms": (self._yardstick_ms + yardstick_ms(self._service.core)) / 2,
        }

    def _note(self, lag_s: float) -> None:
        self.worst_lag_s = max(self.worst_lag_s, lag_s)

    def _both(self) -> tuple[Usage, Usage]:
        return usage(self._service.pid, self._service.core), usage(os.getpid(), max(os.sched_getaffinity(0)))


# delays and loss


@dataclass(slots=True)
class _AgentTimes:
    first: list[float]
    downlink: list[float]
    flush: list[float]


async def _converse(caller: Caller, rng: random.Random, ends: float, times: _AgentTimes) -> None:
    """Be the model of one call: a marker, a long reply, an interruption in the middle of it, and again."""
    times.first += await _marker(caller)
    while monotonic() < ends:
        await asyncio.sleep(rng.uniform(0.1, 0.3))
        times.flush += await _interrupted_reply(caller, rng)
        await asyncio.sleep(rng.uniform(0.2, 0.4))
        times.downlink += await _marker(caller)


async def _marker(caller: Caller) -> list[float]:
    """Send a short reply; return after how long its onset was heard, nothing if it was not."""
    voice, session = caller.ear.voice, caller.session
    before = len(voice.onsets)
    sent_at = monotonic()
    await session.play(marker_messages(MARKER_S), pace=REPLY_PACE)
    await session.send(GENERATION_COMPLETE)
    await asyncio.sleep(sent_at + 2 * MARKER_S - monotonic())
    await session.send(TURN_COMPLETE)
    return [voice.onsets[before].at - sent_at] if len(voice.onsets) > before else []


async def _interrupted_reply(caller: Caller, rng: random.Random) -> list[float]:
    """Send a long reply and interrupt it; return how long it was heard on, nothing if it was not heard."""
    voice, session = caller.ear.voice, caller.session
    reply = asyncio.create_task(session.play(marker_messages(REPLY_S), pace=REPLY_PACE))
    await asyncio.sleep(rng.uniform(0.5, 0.8))
    reply.cancel()
    with suppress(asyncio.CancelledError):
        await reply
    heard = monotonic() - voice.audible_at < 0.1
    sent_at = await session.send(INTERRUPTED)
    await asyncio.sleep(0.3)
    await session.send(TURN_COMPLETE)
    return [max(0.0, voice.audible_at - sent_at)] if heard else []


async def measure_delays(bench: Bench, *, calls: int, loss: float) -> Figures:
    """Measure uplink, downlink and flush, and whether all of the caller's time arrives, at a share of loss."""
    async with (
        _stage(bench, listens=True) as (live, service),
        calling(service, live, calls=calls, loss=loss, seed=bench.seed) as callers,
    ):
        await asyncio.sleep(0.5)
        times = _AgentTimes([], [], [])
        watch = Watch(service)
        for caller in callers:
            caller.microphone.begin_markers()
        ends = monotonic() + bench.seconds
        async with asyncio.TaskGroup() as group:
            for index, caller in enumerate(callers):
                rng = random.Random(f"{bench.seed}-agent-{index}")
                group.create_task(_converse(caller, rng, ends, times))
        for caller in callers:
            caller.microphone.end_markers()
        figures = watch.close()
        await asyncio.sleep(0.7)  # for what is still on its way
        return figures | _delay_figures(callers, times)


def _delay_figures(callers: Sequence[Caller], times: _AgentTimes) -> Figures:
    uplinks = [caller.uplink() for caller in callers]
    delays = [delay for uplink in uplinks for delay in uplink.delays_s]
    sent = sum(uplink.sent_samples for uplink in uplinks)
    return {
        "uplink_p50_ms": 1e3 * percentile(delays, 0.5),
        "uplink_p95_ms": 1e3 * percentile(delays, 0.95),
        "downlink_p50_ms": 1e3 * percentile(times.downlink, 0.5),
        "downlink_p95_ms": 1e3 * percentile(times.downlink, 0.95),
        "downlink_first_ms": 1e3 * percentile(times.first, 0.5),
        "flush_p50_ms": 1e3 * percentile(times.flush, 0.5),
        "flush_p95_ms": 1e3 * percentile(times.flush, 0.95),
        "time_share": sum(uplink.delivered_samples for uplink in uplinks) / sent if sent else math.nan,
        "markers_share": sum(u.recognised for u in uplinks) / max(1, sum(u.markers for u in uplinks)),
        "lost_packets": sum(len(caller.microphone.dropped) for caller in callers),
        "uplink_samples": len(delays),
        "downlink_samples": len(times.downlink),
        "flush_samples": len(times.flush),
    }


# costs


async def measure_cpu(bench: Bench, *, calls: int) -> Figures:
    """Measure processor time per call in which both sides talk all the time."""
    async with (
        _stage(bench, listens=False) as (live, service),
        loading(service, live, calls=calls) as load,
        load.talking(),
    ):
        await asyncio.sleep(SETTLE_S)
        watch = Watch(service)
        await asyncio.sleep(bench.seconds)
        figures = watch.close()
        return figures | {"cpu_per_call_pct": figures["service_cpu_pct"] / calls}


async def measure_video(bench: Bench, *, calls: int) -> Figures:
    """Measure what a camera costs on top; cameras go on and off by turns, so that the machine's moods cancel."""
    async with (
        _stage(bench, listens=False) as (live, service),
        loading(service, live, calls=calls, video=True) as load,
        load.talking(),
    ):
        await asyncio.sleep(SETTLE_S)
        cameras = [caller.camera for caller in load.callers if caller.camera is not None]
        watch = Watch(service)
        more: list[float] = []
        for _ in range(max(2, round(bench.seconds / CAMERA_TURN_S))):
            without = await _used_pct(service, CAMERA_TURN_S)
            for camera in cameras:
                camera.turn_on()
            await asyncio.sleep(CAMERA_WARM_S)
            more.append((await _used_pct(service, CAMERA_TURN_S) - without) / calls)
            for camera in cameras:
                camera.turn_off()
        shown_s = len(more) * (CAMERA_TURN_S + CAMERA_WARM_S)
        pictures = sum(session.pictures for session in live.sessions)
        return watch.close() | {
            "cpu_more_pct": percentile(more, 0.5),
            "pictures_per_s": pictures / shown_s / calls,
        }


async def _used_pct(service: Service, seconds: float) -> float:
    before = usage(service.pid, service.core)
    await asyncio.sleep(seconds)
    used = usage(service.pid, service.core).since(before)
    return 100 * used.cpu_s / used.at


async def measure_memory(bench: Bench, *, further: int = 20) -> Figures:
    """Measure how much memory each further call takes, both sides talking."""
    async with _stage(bench, listens=False) as (live, service), AsyncExitStack() as stack:
        load = Load()
        await add_callers(stack, load, service, live, calls=1)
        async with load.talking():
            await asyncio.sleep(SETTLE_S)
            one = memory_mb(service.pid)
        await add_callers(stack, load, service, live, calls=further)
        async with load.talking():
            await asyncio.sleep(2 * SETTLE_S)
            return {"memory_per_call_mb": (memory_mb(service.pid) - one) / further, "memory_one_call_mb": one}


# capacity


async def measure_capacity(bench: Bench, *, most: int, repeat: int) -> tuple[Figures, list[Figures]]:
    """Find how many talking calls are held without a late frame: ``most``, or by halving what is held at least.

    Args:
        bench: what is measured.
        most: so many are tried first.
        repeat: so often is tried what was not held; a busy machine can break a step but cannot make it succeed.

    Returns:
        The figures of the most calls that were held, or of the fewest that were not; and those of every step.
    """
    steps: list[Figures] = []
    held, not_held = 0, most + 1
    while not_held - held > (1 if not steps else max(1, most // RESOLUTION)):
        calls = (held + not_held) // 2 if steps else most
        for _ in range(repeat):
            steps.append(await _try_to_hold(bench, calls))
            if steps[-1]["held"]:
                break
        if steps[-1]["held"]:
            held = calls
        else:
            not_held = calls
    best = min(steps, key=lambda step: (-step["held"], -step["calls"] if step["held"] else step["calls"]))
    figures = {"capacity_calls": float(held)}
    return figures | {f"at_capacity_{key}": value for key, value in best.items()}, steps


async def _try_to_hold(bench: Bench, calls: int) -> Figures:
    try:
        async with asyncio.timeout(STEP_LIMIT_S):
            return await _hold(bench, calls)
    except (TimeoutError, RuntimeError, OSError):  # the service was too busy to take the calls
        return {"calls": calls, "held": 0.0}


async def _hold(bench: Bench, calls: int) -> Figures:
    """Have so many calls talk for a while and say whether the service kept up."""
    seconds = min(bench.seconds, 8.0)
    async with (
        _stage(bench, listens=False, max_calls=calls + 5) as (live, service),
        loading(service, live, calls=calls) as load,
        load.talking(),
    ):
        await asyncio.sleep(SETTLE_S)
        before, own = _counts(load, live), await service.metrics()
        watch = Watch(service)
        await asyncio.sleep(seconds)
        figures = watch.close()
        after, own_after = _counts(load, live), await service.metrics()
    sent, received, gaps, samples = (b - a for a, b in zip(before, after, strict=True))
    figures |= {
        "calls": calls,
        "offered_share": sent / (calls * 50 * figures["seconds"]),
        "downlink_share": received / (calls * 50 * figures["seconds"]),
        "uplink_share": samples / (calls * 16_000 * figures["seconds"]),
        "late_gaps": gaps,
    }
    if own:
        key = "talkspurt_outbound_late_packets_total"
        figures["late_frames"] = own_after[key] - own[key]
        figures["loop_lag_p95_ms"] = 1e3 * _lag_percentile(own, own_after, 0.95)
    late = figures.get("late_frames", gaps)
    figures["held"] = float(late == 0 and min(figures["downlink_share"], figures["uplink_share"]) >= WHOLE)
    figures["harness_saturated"] = float(figures["offered_share"] < WHOLE or figures["harness_worst_lag_ms"] > 60)
    return figures


def _counts(load: Load, live: LiveServer) -> tuple[float, float, float, float]:
    """Return packets sent, packets received, late gaps, and samples at the Live server."""
    return (
        load.sent,
        sum(caller.received for caller in load.callers),
        sum(caller.late_gaps for caller in load.callers),
        sum(session.audio_samples for session in live.sessions),
    )


def _lag_percentile(before: dict[str, float], after: dict[str, float], share: float) -> float:
    """Return the upper bound of the histogram bucket in which the percentile of the service's loop lag lies."""
    prefix = 'talkspurt_loop_lag_seconds_bucket{le="'
    buckets = {
        float(name.removeprefix(prefix).rstrip('"}')): value - before[name]
        for name, value in after.items()
        if name.startswith(prefix)
    }
    count = max(buckets.values(), default=0)
    return min((bound for bound, below in buckets.items() if below >= share * count), default=math.nan)
