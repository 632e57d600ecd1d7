"""When the calls of a load test begin. Pure."""

from __future__ import annotations

import random
from enum import StrEnum

STEPS = 4


class Arrivals(StrEnum):
    """How calls arrive over a time."""

    CONSTANT = "constant"
    POISSON = "poisson"
    STEP = "step"
    SPIKE = "spike"


def arrivals(process: Arrivals, calls: int, over_s: float, rng: random.Random) -> list[float]:
    """Return when each call begins, in seconds from the start, in order.

    Args:
        process: `constant` has equal distances; `poisson` is how independent people call: a Poisson process that is
            known to have had so many arrivals has them evenly distributed; `step` has `STEPS` groups, each all at
            once; `spike` has one half in equal distances and the other all at once in the middle.
        calls: how many there are.
        over_s: over how long they are spread.
        rng: the source of chance.
    """
    match process:
        case Arrivals.CONSTANT:
            return [over_s * index / calls for index in range(calls)]
        case Arrivals.POISSON:
            return sorted(rng.uniform(0, over_s) for _ in range(calls))
        case Arrivals.STEP:
            return [over_s * (index * STEPS // calls) / STEPS for index in range(calls)]
        case Arrivals.SPIKE:
            steady = calls // 2
            even = [over_s * index / max(steady, 1) for index in range(steady)]
            return sorted([*even, *[over_s / 2] * (calls - steady)])


def mixed(weights: list[float], calls: int, rng: random.Random) -> list[int]:
    """Return for each call which scenario it plays: as many of each as its weight says, in random order.

    Args:
        weights: of the scenarios; above 0.
        calls: how many calls there are.
        rng: the source of chance.
    """
    total = sum(weights)
    exact = [calls * weight / total for weight in weights]
    counts = [int(share) for share in exact]
    by_rest = sorted(range(len(weights)), key=lambda index: counts[index] - exact[index])
    for index in by_rest[: calls - sum(counts)]:
        counts[index] += 1
    order = [index for index, count in enumerate(counts) for _ in range(count)]
    rng.shuffle(order)
    return order
