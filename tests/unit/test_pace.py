"""A burst begins at once; a stream at real time begins with a small store."""

from agent.media.pace import GROWN_SAMPLES, STORE_SAMPLES, STORE_WAIT_S, Pace

CHUNK = 960  # 40 ms


def test_a_burst_begins_at_once() -> None:
    pace = Pace()
    pace.pushed(STORE_SAMPLES, 0.0)
    assert pace.may_begin(STORE_SAMPLES, 0.0)


def test_a_small_first_chunk_waits_for_the_next() -> None:
    pace = Pace()
    pace.pushed(CHUNK, 0.0)
    assert not pace.may_begin(CHUNK, 0.0)
    pace.pushed(2 * CHUNK, 0.02)
    assert pace.may_begin(2 * CHUNK, 0.02)


def test_a_reply_that_is_shorter_than_the_store_is_heard() -> None:
    pace = Pace()
    pace.pushed(CHUNK, 0.0)
    assert pace.may_begin(CHUNK, STORE_WAIT_S)


def test_a_fast_model_is_trusted_until_it_runs_dry() -> None:
    pace = Pace()
    pace.pushed(GROWN_SAMPLES, 0.0)
    pace.ended(ran_dry=False)
    pace.pushed(CHUNK, 5.0)
    assert pace.may_begin(CHUNK, 5.0)
    pace.ended(ran_dry=True)
    pace.pushed(CHUNK, 6.0)
    assert not pace.may_begin(CHUNK, 6.0)


def test_nothing_queued_never_begins() -> None:
    assert not Pace().may_begin(0, 9.0)
