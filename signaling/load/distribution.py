"""How values are distributed: percentiles in which what is missing counts as worse than anything. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values of a figure.

    Attributes:
        count: how many there are, the missing ones included.
        missing: how many are missing.
        at: the percentiles by name; None for one that falls on what is missing, or if there is no value.
    """

    count: int
    missing: int
    at: dict[str, float | None]

    def as_json(self) -> dict[str, Any]:
        """Return it as the report has it."""
        rounded = {name: None if value is None else round(value, 3) for name, value in self.at.items()}
        return {"count": self.count, "missing": self.missing, **rounded}


def distribute(values: Iterable[float | None], *, higher_is_better: bool = False) -> Distribution:
    """Return how values are distributed (nearest rank).

    Args:
        values: None for each that is missing.
        higher_is_better: percentiles count from the best value, which is the highest then; the last one, ``max``,
            is always the worst.
    """
    every = list(values)
    there = sorted((value for value in every if value is not None), reverse=higher_is_better)

    def at(share: float) -> float | None:
        rank = max(0, math.ceil(share * len(every)) - 1)
        return there[rank] if rank < len(there) else None

    return Distribution(
        len(every), len(every) - len(there), {name: at(share) for name, share in PERCENTILES.items()}
    )
