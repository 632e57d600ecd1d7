from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.overload import MAX_LIMITS_PER_STALL, MEMORY, MIN_PACKETS, Overload

LIMIT_S = 0.04
LAGS = st.floats(0, 10)


def fed(lags_s: list[float]) -> Overload:
    overload = Overload(LIMIT_S)
    for lag_s in lags_s:
        overload.note(lag_s)
    return overload


@given(st.floats(2 * LIMIT_S, 10))
def test_a_lag_that_stays_is_overload_within_two_seconds(lag_s: float) -> None:
    assert fed([lag_s] * MEMORY).active


@given(st.lists(st.floats(0, LIMIT_S)))
def test_a_lag_below_the_limit_never_is(lags_s: list[float]) -> None:
    overload = Overload(LIMIT_S)
    for lag_s in lags_s:
        overload.note(lag_s)
        assert not overload.active


@given(st.floats(0, LIMIT_S / 2), LAGS, st.integers(1, 3))
def test_a_few_stalls_in_a_row_are_none(usual_s: float, stall_s: float, stalls: int) -> None:
    assert not fed([usual_s] * 100 + [stall_s] * min(stalls, int(MEMORY / 2 / MAX_LIMITS_PER_STALL))).active


@given(st.lists(LAGS, min_size=1), st.floats(0, LIMIT_S / 4))
def test_it_ends_within_ten_seconds_once_the_loop_is_on_time(before_s: list[float], usual_s: float) -> None:
    assert not fed(before_s + [usual_s] * 5 * MEMORY).active


@given(st.lists(LAGS), st.floats(0.55 * LIMIT_S, 0.95 * LIMIT_S), st.integers(1, 400))
def test_it_does_not_flicker(before_s: list[float], lag_s: float, count: int) -> None:
    """A lag between the two thresholds, for however long, changes at most what was not settled before."""
    overload = fed(before_s)
    states = []
    for _ in range(count):
        overload.note(lag_s)
        states.append(overload.active)
    assert sum(a != b for a, b in pairwise(states)) <= 1
    if fed(before_s).active and fed(before_s).lag_s >= lag_s:
        assert all(states)


@given(st.lists(LAGS, min_size=1))
def test_one_measurement_at_a_time_moves_it_little(lags_s: list[float]) -> None:
    overload, before_s = Overload(LIMIT_S), 0.0
    for each in lags_s:
        overload.note(each)
        assert abs(overload.lag_s - before_s) <= MAX_LIMITS_PER_STALL * LIMIT_S / MEMORY * 1.001
        before_s = overload.lag_s


def heard(windows: list[tuple[int, int]]) -> Overload:
    """Return what follows from packets and late ones per 2 s."""
    overload, packets, late = Overload(LIMIT_S), 0, 0
    for sent, were_late in windows:
        packets, late = packets + sent, late + were_late
        overload.note_voices(packets, late)
    return overload


def test_voices_that_stay_late_are_overload() -> None:
    assert heard([(5_000, 11), (5_000, 11)]).active


def test_one_stall_of_all_voices_is_none() -> None:
    assert not heard([(5_000, 500), (5_000, 10), (5_000, 500)]).active


def test_a_few_callers_tell_nothing() -> None:
    assert not heard([(MIN_PACKETS - 1, 200)] * 5).active


def test_it_ends_once_less_than_half_as_many_are_late() -> None:
    late = [(5_000, 11), (5_000, 11)]
    assert heard([*late, (5_000, 6)]).active
    assert not heard([*late, (5_000, 5)]).active
    assert not heard([*late, (5_000, 5), (5_000, 11)]).active
