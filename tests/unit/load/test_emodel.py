"""The E-model against values of the Recommendations."""

from __future__ import annotations

import pytest

from signaling.load.emodel import NARROW, WIDE, burst_ratio, delay_impairment, mos


def test_the_defaults_are_those_of_g107() -> None:
    assert mos(NARROW, delay_ms=20, loss_pct=0) == pytest.approx(4.409, abs=0.002)  # R = 93.2
    assert mos(WIDE, delay_ms=20, loss_pct=0) == pytest.approx(4.5)  # R = 129


@pytest.mark.parametrize(("delay_ms", "impairment"), [(50, 0.0), (100, 0.0), (200, 3.1), (400, 24.1), (500, 30.6)])
def test_the_impairment_by_delay(delay_ms: float, impairment: float) -> None:
    assert delay_impairment(delay_ms) == pytest.approx(impairment, abs=1.0)


def test_g711_with_concealment_and_five_percent_loss() -> None:
    # Ie_eff = 95 * 5 / (5 + 25.1) = 15.8, so that R = 77.4
    assert mos(NARROW, delay_ms=20, loss_pct=5) == pytest.approx(3.93, abs=0.02)


def test_half_of_the_quality_is_gone_at_the_robustness() -> None:
    # Ie_eff = 95 / 2, so that R / 1.29 = (129 - 47.5) / 1.29 = 63.2
    assert mos(WIDE, delay_ms=20, loss_pct=10) == pytest.approx(3.26, abs=0.02)
    assert mos(WIDE, delay_ms=20, loss_pct=10) < mos(WIDE, delay_ms=20, loss_pct=1) < 4.5
    assert mos(NARROW, delay_ms=60_000, loss_pct=100) == 1.0


def test_bursts_are_longer_than_random_losses() -> None:
    assert burst_ratio(0, 0, 1000) == 1.0
    assert burst_ratio(10, 10, 1000) == 1.0
    assert burst_ratio(40, 10, 1000) == pytest.approx(4 * 0.96)
    assert burst_ratio(1000, 1, 1000) == 1.0
