"""``python -m tests.survival``: one call over many Live sessions, measured from both ends.

    python -m tests.survival                 20 connections, each capped at 5 s by a goAway
    python -m tests.survival --cap-s 20 --minutes 10     a long call: drift, memory, tasks

The service runs in a process of its own, against the local Live server.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from dataclasses import dataclass
from time import monotonic

import numpy as np

from agent.emulator import running_emulator
from agent.emulator.faults.kinds import GoAway
from signaling.client.caller import call_service
from tests.bench.service import Service, memory_mb, running_service
from tests.support.line import Line, talkspurts_s, tones_of

ANSWER_S = 1.0
NOTICE_S = 2.0  # of each goAway


@dataclass(frozen=True, slots=True)
class Reading:
    """What the service holds at a moment."""

    memory_mb: float
    tasks: float


async def main(cap_s: float, swaps: int, minutes: float) -> None:
    """Hold the call and print what became of it."""
    faults = [GoAway(after_s=cap_s - NOTICE_S, time_left_s=NOTICE_S)]
    async with (
        running_emulator(
            on_turn=tones_of(ANSWER_S), faults=faults, await_playback=False, record_s=3600
        ) as emulator,
        running_service("talkspurt", emulator, core=0) as service,
        call_service(service.url) as caller,
    ):
        await caller.message("bot-ready")
        line = Line(caller, emulator, service.url)
        readings, spurts = await _talk(line, service, swaps=swaps, until=monotonic() + 60 * minutes)
        _report(line, spurts, readings)


async def _talk(line: Line, service: Service, *, swaps: int, until: float) -> tuple[list[Reading], list[float]]:
    rng = random.Random(1)
    readings: list[Reading] = []
    spurts: list[float] = []
    while line.count("session-replaced") < swaps or monotonic() < until:
        await line.ask()
        await asyncio.sleep(ANSWER_S + rng.uniform(0.8, 1.4))
        spurts += talkspurts_s(line.caller.heard_pcm(), line.caller.heard_rate_hz)
        line.caller.heard.clear()
        readings.append(Reading(memory_mb(service.pid), (await service.metrics())["talkspurt_tasks"]))
    return readings, spurts


def _report(line: Line, spurts: list[float], readings: list[Reading]) -> None:
    shifts = line.shifts_ms()
    steps = np.diff(shifts)
    replaced = [m["data"] for m in line.caller.messages if _is_replacement(m)]
    outages = [data["outage_ms"] for data in replaced]
    half = readings[len(readings) // 2 :]
    slope = np.polyfit(np.arange(len(half)), [each.memory_mb for each in half], 1)[0] * len(half)
    broken = sum(abs(spurt - ANSWER_S) > 0.03 for spurt in spurts)
    print(f"sessions                              {len(line.emulator.sessions)}")
    for number in np.flatnonzero(np.abs(steps) > 1):
        print(f"  {steps[number]:+.1f} ms between {line.asked_s[number]:.1f} and {line.asked_s[number + 1]:.1f} s")
    print(
        f"  resumed / rebuilt / lost            {sum(d['resumed'] for d in replaced)} / "
        f"{sum(not d['resumed'] for d in replaced)} / {line.count('session-lost')}"
    )
    print(f"questions asked / heard once          {len(line.asked_s)} / {len(shifts)}")
    print(f"caller's audio lost, ms               {-steps[steps < 0].sum():.1f}")
    print(f"caller's audio doubled, ms            {steps[steps > 0].sum():.1f}")
    print(f"drift over the call, ms               {shifts[-1]:.1f} in {line.asked_s[-1]:.0f} s")
    print(f"answers heard / with a gap            {len(spurts)} / {broken}")
    print(f"outage between sessions, ms           median {np.median(outages):.0f}, worst {max(outages)}")
    print(f"audio sent again per swap, ms         median {np.median([d['replayed_ms'] for d in replaced]):.0f}")
    print(
        f"memory of the service, MB             {readings[0].memory_mb:.1f} first, "
        f"{readings[-1].memory_mb:.1f} last, {slope:+.2f} over the second half"
    )
    print(f"tasks of the service                  {readings[0].tasks:.0f} first, {readings[-1].tasks:.0f} last")
    violations = [violation for session in line.emulator.sessions for violation in session.violations]
    print(f"protocol violations                   {len(violations)} {violations[:3] or ''}")


def _is_replacement(message: dict[str, object]) -> bool:
    data = message.get("data")
    return message["type"] == "server-message" and isinstance(data, dict) and data["type"] == "session-replaced"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.survival", description=__doc__)
    parser.add_argument("--cap-s", type=float, default=5.0, help="how long a connection lives [default: 5]")
    parser.add_argument("--swaps", type=int, default=20, help="how many to see at least [default: 20]")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long to talk at least [default: 0]")
    given = parser.parse_args()
    asyncio.run(main(given.cap_s, given.swaps, given.minutes))
