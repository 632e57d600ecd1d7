"""When a key frame is taken, and when one is asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.throttle import FIRST_GRACE_S, MAX_SILENT_REQUESTS, REPEAT_S, Throttle


def test_nothing_is_asked_for_before_video_comes() -> None:
    throttle = Throttle(1.0)
    assert throttle.wants(0.0)
    assert throttle.ask_in(0.0) is None


def test_a_stream_gets_a_moment_for_its_own_first_key_frame() -> None:
    throttle = Throttle(1.0)
    assert throttle.arrived(5.0)
    assert throttle.ask_in(5.0) == pytest.approx(FIRST_GRACE_S)
    assert throttle.ask_in(5.0 + FIRST_GRACE_S) == pytest.approx(0.0)
    throttle.take(5.1)
    assert throttle.ask_in(5.1 + FIRST_GRACE_S) is None


def test_the_next_is_wanted_a_period_later_and_asked_for_then() -> None:
    throttle = Throttle(0.5)
    throttle.arrived(10.0)
    throttle.take(10.0)
    assert not throttle.wants(11.9)
    assert throttle.wants(12.0)
    assert throttle.ask_in(11.0) is None, "no video came since"
    assert throttle.arrived(11.0)
    assert throttle.ask_in(11.0) == 1.0
    assert not throttle.arrived(11.5), "no news"
    assert throttle.ask_in(13.0) == 0.0


def test_asking_is_repeated_while_no_key_frame_comes() -> None:
    throttle = Throttle(1.0)
    throttle.arrived(0.0)
    asked_at = []
    now = 0.0
    while now < 10:
        throttle.arrived(now)
        if throttle.ask_in(now) == 0:
            throttle.asked(now)
            asked_at.append(now)
        now += 1 / 32
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert len(asked_at) == 10
    assert min(gaps) >= REPEAT_S
    throttle.take(now)
    throttle.arrived(now + 0.5)
    assert throttle.ask_in(now + 0.5) == 0.5


def test_a_sender_gone_silent_is_not_asked_for_ever() -> None:
    throttle = Throttle(1.0)
    throttle.arrived(0.0)
    now, asks = 0.0, 0
    while (wait := throttle.ask_in(now)) is not None:
        now += wait
        throttle.asked(now)
        asks += 1
    assert asks == MAX_SILENT_REQUESTS
    assert throttle.arrived(100.0), "back again"
    assert throttle.ask_in(100.0) == 0.0


@given(
    st.floats(0.1, 5),
    st.lists(st.tuples(st.sampled_from(["packet", "key", "poll"]), st.floats(0.001, 3)), max_size=200),
)
def test_in_any_order_no_more_is_taken_or_asked_than_allowed(fps: float, steps: list[tuple[str, float]]) -> None:
    throttle = Throttle(fps)
    now, taken, asked = 0.0, [], []
    for what, passed in steps:
        now += passed
        if what == "poll":
            if throttle.ask_in(now) == 0:
                assert throttle.wants(now), "what is asked for would be taken"
                throttle.asked(now)
                asked.append(now)
            continue
        throttle.arrived(now)
        if what == "key" and throttle.wants(now):
            throttle.take(now)
            taken.append(now)
    for times, least in ((taken, 1 / fps), (asked, min(REPEAT_S, 1 / fps))):
        assert all(b - a >= least * (1 - 1e-9) for a, b in pairwise(times))
