"""A burst begins at once; a stream at real time begins with a small store."""

import random

import pytest

from agent.media.pace import AHEAD_SAMPLES, PREBUFFER_SAMPLES, Pace

CHUNK = 960  # 40 ms
FRAME = 480


def test_a_burst_begins_at_once() -> None:
    pace = Pace()
    pace.pushed(PREBUFFER_SAMPLES, 0.0)
    assert pace.may_begin(PREBUFFER_SAMPLES, 0.0)


def test_a_small_first_chunk_waits_for_the_next() -> None:
    pace = Pace()
    pace.pushed(CHUNK, 0.0)
    assert not pace.may_begin(CHUNK, 0.0)
    pace.pushed(2 * CHUNK, 0.02)
    assert pace.may_begin(2 * CHUNK, 0.02)


def test_a_reply_that_is_shorter_than_the_store_is_heard() -> None:
    pace = Pace()
    pace.pushed(CHUNK, 0.0)
    assert pace.may_begin(CHUNK, 0.041)


def test_a_fast_model_is_trusted_until_it_runs_dry() -> None:
    pace = Pace()
    pace.pushed(PREBUFFER_SAMPLES + AHEAD_SAMPLES, 0.0)
    pace.ended(ran_dry=False)
    pace.pushed(CHUNK, 5.0)
    assert pace.may_begin(CHUNK, 5.0)
    pace.ended(ran_dry=True)
    pace.pushed(CHUNK, 6.0)
    assert not pace.may_begin(CHUNK, 6.0)


def test_nothing_queued_never_begins() -> None:
    assert not Pace().may_begin(0, 9.0)


def gaps(pace: Pace, burst_ms: int, times_real_time: float = 1.0) -> int:
    """Play 6 s that come in bursts, each up to 15 ms late; return how often they ran dry before the end."""
    rng = random.Random(burst_ms)
    bursts = 6000 // burst_ms
    arrivals_s = [n * burst_ms / 1000 / times_real_time + rng.uniform(0, 0.015) for n in range(bursts)]
    queued = dry = 0
    slot_s: float | None = None  # of the talkspurt's next frame, if there is one
    for now in (tick / 1000 for tick in range(8000)):
        while arrivals_s and arrivals_s[0] <= now:
            arrivals_s.pop(0)
            queued += burst_ms * 24
            pace.pushed(queued, now)
        if slot_s is None and pace.may_begin(queued, now):
            slot_s = now
        if slot_s is None or now < slot_s:
            continue
        if not queued:
            dry += bool(arrivals_s)
            pace.ended(ran_dry=bool(arrivals_s))
        slot_s = slot_s + 0.02 if queued else None
        queued -= min(queued, FRAME)
    return dry


@pytest.mark.parametrize("burst_ms", [40, 80, 120, 160])
def test_a_model_at_real_time_is_heard_without_gaps_once_its_bursts_are_known(burst_ms: int) -> None:
    pace = Pace()
    assert sum(gaps(pace, burst_ms) for _ in range(2)) <= 2
    assert gaps(pace, burst_ms) == 0


def test_a_model_that_is_faster_has_no_gap() -> None:
    assert gaps(Pace(), 40, times_real_time=2.0) == 0
