"""``python -m tests.soak``: thousands of calls on one service, and what it holds once they have ended.

    python -m tests.soak                                5,000 offers that are taken back, 500 calls that are up
    python -m tests.soak --offers 500 --calls 50        a short one

The service runs in a process of its own, against the local Live server. Exit code 1 if it grew: by more than
30 MiB since the first 200 calls, or by a thread, a descriptor or a task.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from agent.emulator import running_emulator
from tests.bench.service import running_service
from tests.soak.crowd import Crowd, Reading, offers, read

ROUNDS = 25  # of which each ends with a reading
WARM_UP = 200  # calls that the first reading waits for
GROWTH_MIB = 30.0


async def main(offer_count: int, call_count: int) -> bool:
    """Print a line per round; return whether the service is no larger at the end."""
    async with (
        running_emulator(await_playback=False) as emulator,
        running_service("talkspurt", emulator, core=0, pinned=False) as service,
    ):
        crowd = Crowd(service, await offers())
        share = WARM_UP / (offer_count + call_count)
        await crowd.come(offers=round(share * offer_count), calls=round(share * call_count))
        first = last = await read(service)
        print("  ended  memory/MiB  threads  files  tasks")
        _print(first)
        for number in range(ROUNDS):
            since, until = (share + (1 - share) * step / ROUNDS for step in (number, number + 1))
            await crowd.come(offers=_of(offer_count, since, until), calls=_of(call_count, since, until))
            last = await read(service)
            _print(last)
    grown_mib = last.memory_mib - first.memory_mib
    kept = (last.threads > first.threads, last.files > first.files, last.tasks > first.tasks)
    print(f"{grown_mib:+.1f} MiB since the first {first.ended} calls; {crowd.late} callers gave up")
    return grown_mib <= GROWTH_MIB and not any(kept)


def _of(count: int, since: float, until: float) -> int:
    return round(count * until) - round(count * since)


def _print(reading: Reading) -> None:
    print(
        f"{reading.ended:7} {reading.memory_mib:11.1f} {reading.threads:8} {reading.files:6} {reading.tasks:6}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--offers", type=int, default=5000, help="taken back at once [default: 5000]")
    parser.add_argument("--calls", type=int, default=500, help="that are up [default: 500]")
    given = parser.parse_args()
    sys.exit(not asyncio.run(main(given.offers, given.calls)))
