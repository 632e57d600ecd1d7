"""One clock for all callers of a process: each sends a packet every 20 ms, and the clock's lateness is counted."""

from __future__ import annotations

import asyncio
from typing import Protocol

from agent.clock import monotonic

FRAME_S = 0.02
SLOTS = 10  # the callers are spread over 20 ms in so many groups
MOST_BEHIND_S = 0.1  # further behind, the clock skips: a burst would measure the generator
BUCKET_S = 0.0005
BUCKETS = 2000


class Lateness:
    """How late packets left, as a histogram: up to a second in steps of half a millisecond."""

    def __init__(self) -> None:
        self.counts = [0] * (BUCKETS + 1)
        self.total = 0

    def note(self, late_s: float, packets: int) -> None:
        """Count packets that left so late."""
        self.counts[min(int(max(late_s, 0.0) / BUCKET_S), BUCKETS)] += packets
        self.total += packets

    def add(self, other: Lateness) -> None:
        """Add what another counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def percentile_ms(self, share: float) -> float:
        """Return how late at most that share of the packets was; 0 if there was none."""
        wanted, below = share * self.total, 0
        for index, count in enumerate(self.counts):
            below += count
            if below >= wanted:
                return 1e3 * BUCKET_S * (index + 1) if self.total else 0.0
        return 1e3 * BUCKET_S * (BUCKETS + 1)


class Rider(Protocol):
    """Who is on the wheel."""

    def tick(self, now: float) -> None:
        """Send the next packet; must not raise."""


class Wheel:
    """Turns once in 20 ms; see `run`."""

    def __init__(self) -> None:
        self.lateness = Lateness()
        "Of all packets so far."
        self.newest = Lateness()
        "Of the packets since somebody put a fresh one here."
        self._slots: list[list[Rider]] = [[] for _ in range(SLOTS)]

    def join(self, rider: Rider) -> None:
        """Have a rider ticked from now on, in the emptiest slot."""
        min(self._slots, key=len).append(rider)

    def leave(self, rider: Rider) -> None:
        """Tick a rider no more; nothing happens if it is not on the wheel."""
        for slot in self._slots:
            if rider in slot:
                slot.remove(rider)

    async def run(self) -> None:
        """Tick everybody by an absolute clock, until cancelled."""
        due = monotonic()
        while True:
            for slot in self._slots:
                due += FRAME_S / SLOTS
                await asyncio.sleep(max(0.0, due - monotonic()))
                now = monotonic()
                if slot:
                    self._tick(slot, now, now - due)
                if now - due > MOST_BEHIND_S:
                    self._note(now - due, sum(map(len, self._slots)))  # everybody's packets wait so much longer
                    due = now

    def _tick(self, slot: list[Rider], now: float, late_s: float) -> None:
        self._note(late_s, len(slot))
        for rider in tuple(slot):
            rider.tick(now)

    def _note(self, late_s: float, packets: int) -> None:
        self.lateness.note(late_s, packets)
        self.newest.note(late_s, packets)
