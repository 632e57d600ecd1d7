"""The E-model: what a call's delay and losses are worth to a listener. Pure.

Narrow band is ITU-T G.107 (R up to 93.2), wide band G.107.1 (R up to 129), both with the defaults of all that a
generator cannot know: no echo, no noise, ordinary loudness. What is left of them is

    Ta     = 20 ms of packet + jitter buffer + network, one way
    Idd    = 0 up to 100 ms, then 25 ((1 + X^6)^(1/6) - 3 (1 + (X/3)^6)^(1/6) + 2), X = log2(Ta / 100)
    Ie_eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl)
    R      = R0 - Idd - Ie_eff
    MOS    = 1 + 0.035 R + 7e-6 R (R - 60)(100 - R)     with R / 1.29 in wide band

The ITU gives no values for Opus. At the 32 to 56 kbit/s of a call it is taken as transparent (Ie = 0), and its
robustness as that of G.722.2 in G.113 (Bpl = 10); G.711 is that of G.113 with concealment (Bpl = 25.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PACKET_MS = 20.0


@dataclass(frozen=True, slots=True)
class Band:
    """The constants of a variant.

    Attributes:
        best: R of a call without any impairment.
        scale: by which R is divided before it is turned into a score.
        loss_robustness: Bpl, the loss in % at which half of the quality is gone.
    """

    best: float
    scale: float
    loss_robustness: float


NARROW = Band(93.2, 1.0, 25.1)
WIDE = Band(129.0, 1.29, 10.0)


def mos(band: Band, *, delay_ms: float, loss_pct: float, burst_ratio: float = 1.0) -> float:
    """Return the score of one direction, 1 to 4.5.

    Args:
        band: the variant.
        delay_ms: from mouth to ear, packet and jitter buffer included.
        loss_pct: packets that did not come, or too late.
        burst_ratio: the mean length of a burst of losses over that of random losses; 1 is random.
    """
    by_loss = 95 * loss_pct / (loss_pct / max(burst_ratio, 1.0) + band.loss_robustness)
    rating = (band.best - delay_impairment(delay_ms) - by_loss) / band.scale
    if rating <= 0:
        return 1.0
    rating = min(rating, 100.0)
    return min(max(1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating), 1.0), 4.5)


def delay_impairment(delay_ms: float) -> float:
    """Return Idd of G.107 for a delay from mouth to ear."""
    if delay_ms <= 100:
        return 0.0
    x: float = math.log2(delay_ms / 100)
    impairment: float = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    return impairment


def burst_ratio(losses: int, bursts: int, expected: int) -> float:
    """Return G.107's BurstR from how many packets were lost, in how many bursts, of how many."""
    if losses == 0 or bursts == 0 or losses >= expected:
        return 1.0
    random_length = 1 / (1 - losses / expected)
    return max(1.0, losses / bursts / random_length)
