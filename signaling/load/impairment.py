"""What a network does to one direction's packets: loss, bursts of it, delay, jitter, outages. Pure and seeded."""

from __future__ import annotations

import random

from signaling.load.scenario import Way

ALIKE = 1.0
"With bursts of this mean length each packet is lost by itself."


class Impairment:
    """One direction of one call.

    Losses follow Gilbert's model: the line is good, or loses everything. How often it changes makes losses as
    frequent, and bursts as long, as the scenario says.

    Args:
        way: what happens.
        rng: decides; of its own, so that nothing else changes which packets are lost.
        began: when the media connection came up, in monotonic seconds.
    """

    def __init__(self, way: Way, rng: random.Random, began: float = 0.0) -> None:
        self._way = way
        self._rng = rng
        self._began = began
        self._losing = False
        loss = min(way.loss_percent / 100, 1.0)
        burst = max(way.burst_packets, ALIKE)
        self._ends = 1 / burst
        self._begins = 1.0 if loss >= 1 else min(1.0, loss / (1 - loss) / burst)
        self._alike = burst == ALIKE
        self._loss = loss
        self.lost = 0
        "How many packets did not arrive."
        self.passed = 0

    def arrival(self, now: float) -> float | None:
        """Return when a packet that is sent now arrives, in monotonic seconds; None if it does not."""
        if self._out(now - self._began) or self._loses():
            self.lost += 1
            return None
        self.passed += 1
        late_ms = self._way.delay_ms
        if self._way.jitter_ms:
            late_ms += self._rng.random() * self._way.jitter_ms
        return now + late_ms / 1000

    def _out(self, since_s: float) -> bool:
        return any(outage.at_s <= since_s < outage.at_s + outage.for_s for outage in self._way.outages)

    def _loses(self) -> bool:
        if not self._loss:
            return False
        if self._alike:
            return self._rng.random() < self._loss
        if self._losing:
            self._losing = self._loss >= 1 or self._rng.random() >= self._ends
        else:
            self._losing = self._rng.random() < self._begins
        return self._losing
