"""The callers of one process: each is dialled when it arrives, and its record is kept."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import process_time

import aiohttp

from agent.clock import monotonic
from signaling.load.arrivals import Arrivals, arrivals, mixed
from signaling.load.player import Player, Script
from signaling.load.record import COMPLETED, CallRecord
from signaling.load.wheel import Lateness, Wheel

SAMPLE_S = 1.0
MAX_RECORDS = 200_000
STOP_S = 8.0  # so long the calls have to hang up once the test ends


@dataclass(frozen=True, slots=True)
class Plan:
    """What is generated.

    Attributes:
        url: the service's address.
        key: the bearer token; None without one.
        calls: how many callers there are.
        arrivals: how they arrive over ``ramp_s``.
        ramp_s: over how long the callers arrive.
        duration_s: so long callers call again and again; None makes one call each.
        weights: of the scenarios.
        seed: of all that is random.
        first_number: of the calls; processes of one test count apart.
    """

    url: str
    key: str | None
    calls: int
    arrivals: Arrivals
    ramp_s: float
    duration_s: float | None
    weights: tuple[float, ...]
    seed: int
    first_number: int = 0


@dataclass(slots=True)
class Sample:
    """One second of a generator.

    Attributes:
        at: its end, monotonic seconds.
        up: calls that were up.
        late_p99_ms: how late packets left.
        late_max_ms: how late the latest one did.
        cpu_pct: of a core.
    """

    at: float
    up: int
    late_p99_ms: float
    late_max_ms: float
    cpu_pct: float


@dataclass(slots=True)
class Generated:
    """What a generator has done so far.

    Attributes:
        began: monotonic seconds.
        ended: the same; 0 while it goes on.
        records: of the calls that are over.
        samples: one for each second.
        lateness: of all packets.
        cpu_s: processor time of its process.
    """

    began: float = 0.0
    ended: float = 0.0
    records: list[CallRecord] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    lateness: Lateness = field(default_factory=Lateness)
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Now:
    """How it goes, for whoever watches.

    Attributes:
        at_s: since the beginning.
        offered: calls that have begun.
        up: calls that are connected and not over.
        outcomes: of the calls that are over.
        late_p99_ms: how late packets left in the last second.
        records: of the calls that are over since the last time.
    """

    at_s: float
    offered: int
    up: int
    outcomes: Counter[str]
    late_p99_ms: float
    records: list[CallRecord]


class Generator:
    """Runs a plan; see `run`."""

    def __init__(self, plan: Plan, scripts: Sequence[Script]) -> None:
        self.done = Generated()
        self._plan = plan
        self._scripts = scripts
        self._wheel = Wheel()
        self._rng = random.Random(f"{plan.seed}-{plan.first_number}")  # noqa: S311 - as repeatable as it can be
        self._players: set[Player] = set()
        self._offered = 0
        self._outcomes: Counter[str] = Counter()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the test soon: nobody calls any more, and who is on the line hangs up."""
        self._stop.set()

    async def run(self, watch: Callable[[Now], None] = lambda _now: None) -> Generated:
        """Make all calls; ends when they are over, the time is up, or `stop` was called.

        Args:
            watch: is told once a second how it goes.
        """
        plan, done = self._plan, self.done
        done.lateness = self._wheel.lateness
        headers = {} if plan.key is None else {"Authorization": f"Bearer {plan.key}"}
        connector = aiohttp.TCPConnector(limit=0, force_close=False)
        done.began, cpu_before = monotonic(), process_time()
        async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
            turning = asyncio.create_task(self._wheel.run())
            sampling = asyncio.create_task(self._sample(watch))
            try:
                await self._call_all(http, turning)
            finally:
                done.ended, done.cpu_s = monotonic(), process_time() - cpu_before
                for task in (sampling, turning):
                    task.cancel()
                await asyncio.gather(sampling, turning, return_exceptions=True)
        watch(self._now(0))
        return done

    async def _call_all(self, http: aiohttp.ClientSession, turning: asyncio.Task[None]) -> None:
        """Make the calls; ends with them, or with the error of the clock, without which nobody would go on."""
        plan = self._plan
        starts = arrivals(plan.arrivals, plan.calls, plan.ramp_s, self._rng)
        scripts = mixed(list(plan.weights), plan.calls, self._rng)
        callers = [
            asyncio.create_task(self._caller(http, index, self.done.began + start, scripts[index]))
            for index, start in enumerate(starts)
        ]
        stopping = asyncio.create_task(self._stop.wait())
        everybody = asyncio.create_task(asyncio.wait(callers))
        try:
            await asyncio.wait(
                (everybody, stopping, turning), timeout=plan.duration_s, return_when=asyncio.FIRST_COMPLETED
            )
            if turning.done():
                turning.result()
            self._stop.set()
            for player in self._players:
                player.stop()
            await asyncio.wait((everybody,), timeout=STOP_S)
        finally:
            for task in (stopping, everybody, *callers):
                task.cancel()
            for outcome in await asyncio.gather(*callers, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _caller(self, http: aiohttp.ClientSession, index: int, starts_at: float, script: int) -> None:
        """Be one of the callers: call when it is time, and again if the plan says so; ends with the test."""
        plan = self._plan
        rng = random.Random(f"{plan.seed}-caller-{plan.first_number + index}")  # noqa: S311 - as above
        if not await self._slept(starts_at - monotonic()):
            return
        while True:
            player = Player(
                self._scripts[script],
                http,
                plan.url,
                self._wheel,
                number=plan.first_number + self._offered,
                seed=plan.seed,
            )
            self._offered += 1
            self._players.add(player)
            try:
                await player.play()
            finally:
                self._players.discard(player)
                self._outcomes[player.record.outcome] += 1
                if len(self.done.records) < MAX_RECORDS:
                    self.done.records.append(player.record)
            if plan.duration_s is None or self._stop.is_set():
                return
            pause_s = 0.0 if player.record.outcome == COMPLETED else 1.0  # who was refused does not hammer
            if not await self._slept(pause_s):
                return
            script = rng.choices(range(len(self._scripts)), plan.weights)[0]

    async def _slept(self, seconds: float) -> bool:
        """Wait; return False if the test ends meanwhile."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
        return not self._stop.is_set()

    async def _sample(self, watch: Callable[[Now], None]) -> None:
        """Note once a second how the generator itself does, until cancelled."""
        told, cpu, at = 0, process_time(), monotonic()
        while True:
            await asyncio.sleep(SAMPLE_S)
            newest, self._wheel.newest = self._wheel.newest, Lateness()
            now, cpu_now = monotonic(), process_time()
            self.done.samples.append(
                Sample(
                    now,
                    self._up,
                    newest.percentile_ms(0.99),
                    newest.percentile_ms(1.0),
                    100 * (cpu_now - cpu) / (now - at),
                )
            )
            cpu, at = cpu_now, now
            watch(self._now(told))
            told = len(self.done.records)

    @property
    def _up(self) -> int:
        return sum(player.record.connected_at is not None for player in self._players)

    def _now(self, told: int) -> Now:
        late_p99_ms = self.done.samples[-1].late_p99_ms if self.done.samples else 0.0
        return Now(
            monotonic() - self.done.began,
            self._offered,
            self._up,
            self._outcomes,
            late_p99_ms,
            self.done.records[told:],
        )
