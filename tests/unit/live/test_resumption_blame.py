"""When a lost session counts against the handle that it was resumed from, and what that costs."""

from __future__ import annotations

import pytest

from agent.live.endings import Ending, How, Step
from agent.live.resumption import RIGHT_AFTER_S, Recovery
from tests.support.endings import ended


def resumed() -> Recovery:
    recovery = Recovery(30.0, lambda low, _high: low)
    recovery.offered("first")
    recovery.ready(0.0, resumed=True)
    return recovery


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_that_is_not_available_says_nothing_of_the_handle(code: int) -> None:
    recovery = resumed()
    assert recovery.lost(ended("running", 1006), 5.0, resumed=True).step is Step.RESUME
    for attempt in range(5):
        assert recovery.lost(ended("setup", code), 6.0 + attempt, resumed=True).step is not Step.REBUILD
    assert recovery.handle == "first"


def test_a_server_without_quota_says_nothing_of_the_handle() -> None:
    recovery = resumed()
    for attempt in range(3):
        assert recovery.lost(ended("setup", 1011, "quota"), float(attempt), resumed=True).step is Step.WAIT
    assert recovery.lost(ended("setup", 1011, "Internal error"), 4.0, resumed=True).step is Step.RESUME


def test_a_handle_that_fails_twice_is_given_up() -> None:
    recovery = resumed()
    assert recovery.lost(ended("setup", 1011), 0.0, resumed=True).step is Step.RESUME
    assert recovery.lost(ended("setup", 1011), 1.0, resumed=True).step is Step.REBUILD
    assert recovery.handle is None


def test_a_session_that_dies_right_after_it_was_resumed_takes_its_handle_with_it() -> None:
    assert resumed().lost(ended("running", 1011), RIGHT_AFTER_S / 2, resumed=True).step is Step.REBUILD


def test_a_newer_handle_is_not_to_blame_once_a_turn_was_completed() -> None:
    recovery = resumed()
    recovery.progressed()
    recovery.offered("second")
    assert recovery.lost(ended("running", 1011), RIGHT_AFTER_S / 2, resumed=True).step is Step.RESUME
    assert recovery.handle == "second"
    assert recovery.lost(ended("setup", 1011), 2.0, resumed=True).step is Step.RESUME


def test_a_fresh_session_is_tried_at_once_when_the_handle_is_refused() -> None:
    recovery = Recovery(30.0, lambda _low, high: high)
    recovery.offered("first")
    recovery.ready(0.0, resumed=False)
    assert recovery.lost(ended("running", 1006), 5.0, resumed=False).delay_s <= 0.05
    refused = recovery.lost(ended("setup", 1008, "not found"), 5.1, resumed=True)
    assert (refused.step, refused.delay_s <= 0.05) == (Step.REBUILD, True)
    assert recovery.lost(ended("setup", 1011), 5.2, resumed=False).delay_s >= 0.25


@pytest.mark.parametrize("how", ["token_unreachable", "unreachable"])
def test_who_was_not_reached_has_not_seen_the_handle(how: How) -> None:
    recovery = resumed()
    assert recovery.lost(ended("running", 1006), 5.0, resumed=True).step is Step.RESUME
    for attempt in range(3):
        end = Ending(how, during_setup=True, reason="no route to host")
        assert recovery.lost(end, 6.0 + attempt, resumed=True).step is Step.RESUME
    assert recovery.handle == "first"
