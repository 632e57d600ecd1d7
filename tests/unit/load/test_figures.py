"""What a record says in figures: what is missing counts, what cannot be known does not."""

from __future__ import annotations

import pytest

from signaling.load.figures import measure, missing_replies
from signaling.load.hearing import Talk
from signaling.load.record import CallRecord, Turn


def record(**known: object) -> CallRecord:
    values = {
        "offered_at": 10.0, "answered_at": 10.1, "connected_at": 10.2, "first_packet_at": 10.25, "ended_at": 60.0,
        "received": 1000, "outcome": "completed",
    } | known  # fmt: skip
    return CallRecord(0, "test", **values)  # type: ignore[arg-type]


def values(of: CallRecord, name: str) -> list[float | None]:
    return [None if each.value is None else round(each.value, 6) for each in measure(of)[name]]


def turn(start: float, end: float, **more: object) -> Turn:
    return Turn(start, end, **{"wants_reply": True, **more})  # type: ignore[arg-type]


def test_set_up_is_from_the_offer_to_the_first_packet() -> None:
    assert values(record(), "set_up_ms") == [250.0]
    assert measure(record(first_packet_at=None)) == {name: [] for name in measure(record())}


def test_a_greeting_is_what_the_agent_says_first() -> None:
    assert values(record(talks=[Talk(10.6, 12.0)], turns=[turn(13, 14)]), "greeting_ms") == [500.0]
    assert values(record(talks=[Talk(15.0, 16.0)], turns=[turn(13, 14)]), "greeting_ms") == []
    assert values(record(greeting_missing=True), "greeting_ms") == [None]


def test_a_response_is_from_the_callers_last_word_to_the_agents_first() -> None:
    call = record(turns=[turn(20, 21), turn(30, 31)], talks=[Talk(21.7, 25), Talk(31.4, 33)])
    assert values(call, "response_ms") == [700.0, 400.0]
    assert missing_replies(call) == 0


def test_an_answer_that_never_came_is_missing() -> None:
    call = record(turns=[turn(20, 21), turn(40, 41)], talks=[Talk(41.5, 43)])
    assert values(call, "response_ms") == [None, 500.0]
    assert missing_replies(call) == 1


def test_an_answer_after_the_caller_gave_up_is_missing() -> None:
    assert values(record(turns=[turn(20, 21, within_s=5)], talks=[Talk(27, 28)]), "response_ms") == [None]


def test_nothing_is_said_of_an_answer_that_the_end_of_the_test_cut_off() -> None:
    assert values(record(turns=[turn(20, 21)], ended_at=22.0), "response_ms") == []


def test_who_wants_no_reply_misses_none() -> None:
    assert values(record(turns=[turn(20, 21, wants_reply=False)]), "response_ms") == []


def test_a_barge_in_is_over_when_the_agent_is_silent() -> None:
    call = record(turns=[turn(20, 21), turn(23, 24, barges_in=True)], talks=[Talk(21.5, 23.18), Talk(25, 26)])
    assert values(call, "stop_ms") == [180.0]
    assert values(call, "talk_over_ms") == [180.0]


def test_added_is_what_model_tools_voice_and_the_scenarios_network_do_not_explain() -> None:
    call = record(
        turns=[turn(20, 21), turn(30, 31)],
        talks=[Talk(21.7, 25), Talk(31.4, 33)],
        stages=[(0, 600.0), (0, 10.0), (1, 399.0)],
        network_ms=40.0,
    )
    assert values(call, "added_ms") == [60.0, 0.0]


def test_scores_fall_with_loss_and_delay_and_wide_band_needs_its_own_scale() -> None:
    clean, lossy = record(), record(lost=50, bursts=50)
    far = record(network_ms=800.0)
    for name in ("mos_wide", "mos_narrow"):
        [best], [worse], [slow] = (values(call, name) for call in (clean, lossy, far))
        assert best is not None
        assert worse is not None
        assert slow is not None
        assert max(worse, slow) < best <= 4.5
    assert values(clean, "mos_narrow") == [pytest.approx(4.41, abs=0.01)]  # G.107's own value for its defaults
