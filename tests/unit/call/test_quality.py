"""The estimate of how well caller and agent hear each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.quality import WINDOW_S, Inbound, Outbound, Quality, mos

IDLE = Inbound(0, 0, 0.0)


@pytest.mark.parametrize(
    ("rtt_ms", "jitter_ms", "loss", "expected"),
    [(60, 10, 0.0, 4.35), (60, 10, 0.05, 3.69), (250, 30, 0.03, 3.55), (400, 60, 0.1, 1.72)],
)
def test_the_formula_is_rtcscores(rtt_ms: float, jitter_ms: float, loss: float, expected: float) -> None:
    """The figures are those of rtcscore itself."""
    score = mos(codec="opus", loss=loss, buffer_ms=2 * jitter_ms, rtt_ms=rtt_ms)
    assert score == pytest.approx(expected, abs=0.005)


def test_fec_helps_and_a_higher_bit_rate_too() -> None:
    def score(codec: str, loss: float) -> float:
        return mos(codec=codec, loss=loss, buffer_ms=0, rtt_ms=0)

    assert score("PCMU", 0.05) < score("opus", 0.05)
    assert score("PCMU", 0.0) > score("opus", 0.0)
    assert score("OPUS", 0.05) == score("opus", 0.05)


@given(
    codec=st.sampled_from(["opus", "PCMU", "PCMA", "G722", "odd"]),
    loss=st.floats(-1, 2),
    buffer_ms=st.floats(0, 1e6),
    rtt_ms=st.floats(0, 1e6),
)
def test_it_is_a_score_whatever_is_reported(codec: str, loss: float, buffer_ms: float, rtt_ms: float) -> None:
    assert 1.0 <= mos(codec=codec, loss=loss, buffer_ms=buffer_ms, rtt_ms=rtt_ms) <= 4.5


@given(loss=st.floats(0, 1), more=st.floats(0, 1), delay_ms=st.floats(0, 1000), longer_ms=st.floats(0, 1000))
def test_what_is_worse_never_scores_better(loss: float, more: float, delay_ms: float, longer_ms: float) -> None:
    score = mos(codec="opus", loss=loss, buffer_ms=0, rtt_ms=delay_ms)
    worse = mos(codec="opus", loss=max(loss, more), buffer_ms=0, rtt_ms=max(delay_ms, longer_ms))
    assert worse <= score + 1e-9


def test_a_window_counts_only_what_was_new_in_it() -> None:
    quality = Quality()
    assert not quality.is_due(100.0)
    assert not quality.is_due(100.0 + WINDOW_S - 0.1)
    assert quality.is_due(100.0 + WINDOW_S)
    first = quality.close_window(Inbound(450, 50, 3.0), Outbound(500, 0, 5.0, 1), 40.0, "opus", 110.0)
    assert not quality.is_due(119.9)
    second = quality.close_window(Inbound(950, 50, 3.0), Outbound(1000, 50, 5.0, 2), 40.0, "opus", 120.0)
    assert first is not None
    assert second is not None
    assert (first.loss_in_percent, first.loss_out_percent) == (10.0, 0.0)
    assert (second.loss_in_percent, second.loss_out_percent) == (0.0, 10.0)
    assert first.mos_in is not None
    assert second.mos_in is not None
    assert first.mos_in < 3.5 < 4.3 < second.mos_in
    assert quality.heard.mean == pytest.approx((first.mos_in + second.mos_in) / 2, abs=0.01)
    assert quality.heard.worst == pytest.approx(first.mos_in, abs=0.01)
    assert quality.sent.worst == pytest.approx(second.mos_out, abs=0.01)


def test_a_silent_window_says_nothing() -> None:
    quality = Quality()
    assert quality.close_window(IDLE, None, None, "opus", 10.0) is None
    assert (quality.heard.mean, quality.heard.worst, quality.sent.mean) == (None, None, None)


def test_an_old_report_does_not_count_again() -> None:
    quality = Quality()
    quality.close_window(IDLE, Outbound(500, 50, 5.0, "noon"), 40.0, "opus", 10.0)
    told = quality.close_window(Inbound(500, 0, 0.0), Outbound(1000, 50, 5.0, "noon"), 40.0, "opus", 20.0)
    assert told is not None
    assert told.mos_out is None
    assert quality.sent.windows == 1
    told = quality.close_window(Inbound(500, 0, 0.0), Outbound(1500, 60, 5.0, "later"), 40.0, "opus", 30.0)
    assert told is not None
    assert told.mos_in is None
    assert told.mos_out is not None


counts = st.integers(-(1 << 23), 1 << 40)
outbounds = st.none() | st.builds(Outbound, counts, counts, st.floats(0, 1e9), st.integers(0, 3))


@given(
    st.lists(
        st.tuples(st.builds(Inbound, counts, counts, st.floats(0, 1e9)), outbounds, st.none() | st.floats(0, 1e9))
    )
)
def test_any_report_is_taken(windows: list[tuple[Inbound, Outbound | None, float | None]]) -> None:
    quality = Quality()
    for number, (inbound, outbound, rtt_ms) in enumerate(windows):
        told = quality.close_window(inbound, outbound, rtt_ms, "opus", 10.0 * number)
        for score in () if told is None else (told.mos_in, told.mos_out):
            assert score is None or 1.0 <= score <= 4.5
