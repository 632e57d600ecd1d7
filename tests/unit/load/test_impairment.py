"""A network's losses are as frequent, and as long, as a scenario says; and the same with the same seed."""

from __future__ import annotations

import random
from itertools import groupby

import pytest

from signaling.load.impairment import Impairment
from signaling.load.scenario import Outage, Way

PACKETS = 40_000


def arrivals(way: Way, seed: int = 1, packets: int = PACKETS) -> list[float | None]:
    """Return when each packet arrived, after it was sent, in seconds."""
    line = Impairment(way, random.Random(seed), began=100.0)
    found = []
    for number in range(packets):
        now = 100 + number * 0.02
        arrival = line.arrival(now)
        found.append(None if arrival is None else arrival - now)
    assert line.lost == found.count(None)
    assert line.lost + line.passed == packets
    return found


@pytest.mark.parametrize(("loss", "burst"), [(1, 1), (5, 1), (5, 4), (20, 10), (50, 2)])
def test_losses_are_as_frequent_and_as_long_as_asked_for(loss: float, burst: float) -> None:
    found = [arrival is None for arrival in arrivals(Way(loss_percent=loss, burst_packets=burst))]
    runs = [len(list(run)) for lost, run in groupby(found) if lost]
    assert sum(found) / PACKETS * 100 == pytest.approx(loss, rel=0.15)
    independent = 1 / (1 - loss / 100)  # how long runs are if each packet is lost by itself
    assert sum(runs) / len(runs) == pytest.approx(burst if burst > 1 else independent, rel=0.1)


@pytest.mark.parametrize(("loss", "lost"), [(0, 0), (100, PACKETS)])
@pytest.mark.parametrize("burst", [1, 5])
def test_all_and_nothing(loss: float, lost: int, burst: float) -> None:
    assert arrivals(Way(loss_percent=loss, burst_packets=burst)).count(None) == lost


def test_delay_and_jitter() -> None:
    found = [late for late in arrivals(Way(delay_ms=40, jitter_ms=30)) if late is not None]
    assert min(found) >= 0.0399
    assert max(found) <= 0.0701
    assert sum(found) / len(found) == pytest.approx(0.055, rel=0.02)


def test_nothing_arrives_in_an_outage() -> None:
    found = arrivals(Way(outages=(Outage(at_s=0.99, for_s=0.5), Outage(at_s=2.99, for_s=0.11))), packets=500)
    assert [number for number, late in enumerate(found) if late is None] == [*range(50, 75), *range(150, 156)]


def test_a_seed_loses_the_same_packets() -> None:
    way = Way(loss_percent=10, burst_packets=3, jitter_ms=10)
    assert arrivals(way, 7, 500) == arrivals(way, 7, 500) != arrivals(way, 8, 500)
