"""What was handed to a wire that broke is heard again over another one: nothing is lost, and little is repeated."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.media.fir import Pcm
from agent.media.playout import FRAME_SAMPLES, MAX_KEPT_SAMPLES, Playout


def counting(first: int, samples: int) -> Pcm:
    """Return samples that say which ones they are: 1, 2, 3, ..."""
    return np.arange(first, first + samples).astype(np.int16)


def rewinding() -> Playout:
    playout = Playout()
    playout.rewinds = True
    return playout


def pulled(playout: Playout, frames: int) -> list[int]:
    got = [playout.pull() for _ in range(frames)]
    return [int(sample) for frame in got if frame is not None for sample in frame if sample]


def test_what_is_not_confirmed_is_heard_again() -> None:
    playout = rewinding()
    playout.push(counting(1, 2000), generation=1)
    playout.push(counting(2001, 2000), generation=1)
    assert pulled(playout, 5)[-1] == 2400
    playout.confirm(1000)  # the first 1400 have arrived
    assert playout.rewind() == 1000
    assert playout.total_heard_samples == 1400
    assert playout.queued_in(1) == 2600
    assert pulled(playout, 20) == list(range(1401, 4001))
    assert playout.total_heard_samples == 4000


def test_nothing_is_heard_again_if_all_is_confirmed_or_was_flushed() -> None:
    playout = rewinding()
    playout.push(counting(1, 2000), generation=1)
    pulled(playout, 2)
    playout.confirm(0)
    assert playout.rewind() == 0
    pulled(playout, 1)
    playout.flush()
    assert playout.rewind() == 0
    assert playout.pull() is None


def test_a_generation_that_is_over_is_heard_again_before_the_next() -> None:
    playout = rewinding()
    playout.push(counting(1, 960), generation=1)
    pulled(playout, 2)
    playout.push(counting(961, 960), generation=2)
    pulled(playout, 1)
    assert playout.rewind() == 3 * FRAME_SAMPLES
    assert playout.queued_in(1) == 960
    assert pulled(playout, 4) == list(range(1, 1921))
    assert playout.playing == 2


def test_a_playout_that_never_rewinds_keeps_nothing() -> None:
    playout = Playout()
    playout.push(counting(1, 960), generation=1)
    pulled(playout, 2)
    assert playout.rewind() == 0


def test_no_more_is_kept_than_somebody_waits_for() -> None:
    playout = rewinding()
    for _ in range(30):
        playout.push(np.ones(24_000, np.int16), generation=1)
    pulled(playout, 30 * 50)
    assert playout.rewind() == MAX_KEPT_SAMPLES


@given(st.lists(st.tuples(st.sampled_from(["push", "pull", "confirm", "rewind"]), st.integers(0, 3000))))
def test_whatever_happens_the_samples_come_in_order_and_none_is_missing(steps: list[tuple[str, int]]) -> None:
    """And from sample to sample the stream goes on, or goes back to what was not confirmed."""
    playout = rewinding()
    pushed = position = confirmed = 0
    for step, number in steps:
        match step:
            case "push":
                playout.push(counting(pushed + 1, number), generation=1)
                pushed += number
            case "pull":
                got = pulled(playout, 1)
                assert got == list(range(position + 1, position + 1 + len(got)))
                position += len(got)
            case "confirm":
                playout.confirm(number)
                confirmed = max(confirmed, position - number)
            case "rewind":
                back = playout.rewind()
                assert position - back == confirmed or back == 0
                position -= back
                confirmed = position
        assert playout.queued_samples == pushed - position
        assert playout.total_heard_samples == position
