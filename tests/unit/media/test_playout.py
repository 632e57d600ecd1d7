"""Every sample is heard once or dropped once."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.media.playout import FADE_SAMPLES, FRAME_SAMPLES, MAX_QUEUED_SAMPLES, Playout


def speech(samples: int, value: int = 1000) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.full(samples, value, np.int16)


def test_a_burst_comes_out_in_exact_frames() -> None:
    playout = Playout()
    playout.push(speech(1000), generation=1)
    frames = [playout.pull(), playout.pull(), playout.pull(), playout.pull()]
    assert [None if frame is None else len(frame) for frame in frames] == [480, 480, 480, None]
    assert frames[2] is not None
    assert np.count_nonzero(frames[2]) == 40
    assert playout.total_heard_samples == 1000


def test_flush_reports_heard_and_dropped() -> None:
    playout = Playout()
    playout.push(speech(2400), generation=1)
    playout.pull()
    (flushed,), fade = playout.flush()
    assert fade is not None
    assert len(fade) == FADE_SAMPLES
    assert fade[0] == 1000
    assert abs(int(fade[-1])) <= 8
    assert (flushed.generation, flushed.heard_samples, flushed.dropped_samples) == (1, 600, 1800)
    assert playout.pull() is None


def test_late_speech_of_a_flushed_generation_is_refused() -> None:
    playout = Playout()
    playout.push(speech(480), generation=3)
    playout.flush()
    assert not playout.push(speech(480), generation=3)
    assert not playout.push(speech(480), generation=2)
    assert playout.push(speech(480), generation=4)
    assert playout.queued_samples == 480


def test_flush_of_a_generation_that_was_never_heard() -> None:
    playout = Playout()
    (flushed,), fade = playout.flush(generation=2)
    assert (flushed.generation, flushed.heard_samples, flushed.dropped_samples) == (2, 0, 0)
    assert fade is None
    assert not playout.push(speech(10), generation=2)


def test_the_queue_is_bounded() -> None:
    playout = Playout()
    assert playout.push(speech(MAX_QUEUED_SAMPLES), generation=1)
    assert not playout.push(speech(1), generation=1)
    assert playout.total_dropped_samples == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 2000)),
        st.tuples(st.just("late"), st.integers(0, 2000)),
        st.tuples(st.just("pull"), st.integers(1, 1500)),
        st.tuples(st.just("next"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_sample_is_heard_once_or_dropped_once(steps: list[tuple[str, int]]) -> None:
    """Samples are numbered, so that one heard twice, lost or out of order shows."""
    playout = Playout()
    generation, number = 1, 1
    pushed = heard_count = 0
    heard: list[int] = []
    for step, size in steps:
        if step in ("push", "late"):
            target = generation if step == "push" else max(1, generation - 1)
            numbers = np.arange(number, number + size) % 30_000 + 1
            if target == generation:
                playout.push(numbers.astype(np.int16), generation=target)
                pushed += size
                number += size
            elif playout._flushed_to >= target:  # late speech of a flushed generation
                assert not playout.push(numbers.astype(np.int16), generation=target)
                pushed += size
        elif step == "pull":
            queued = playout.queued_samples
            frame = playout.pull(size)
            took = min(queued, size)
            heard_count += took
            assert (frame is None) == (queued == 0)
            if frame is not None:
                heard += frame[:took].tolist()
                assert len(frame) == size
                assert not frame[took:].any()
        elif step == "next":
            generation += 1
        else:
            queued = playout.queued_samples
            playout.flush(generation)
            heard_count += min(queued, FADE_SAMPLES)
            assert playout.queued_samples == 0
        assert pushed == playout.total_heard_samples + playout.total_dropped_samples + playout.queued_samples
        assert heard_count == playout.total_heard_samples
    in_order = [(b - a) % 30_000 for a, b in itertools.pairwise(heard)]
    assert all(0 < step < 20_000 for step in in_order)


def test_a_frame_may_span_generations() -> None:
    playout = Playout()
    playout.push(speech(100, 1), generation=1)
    playout.push(speech(FRAME_SAMPLES, 2), generation=2)
    frame = playout.pull()
    assert frame is not None
    assert frame[:100].tolist() == [1] * 100
    assert frame[100:].tolist() == [2] * 380
    (cut,), _ = playout.flush()
    assert (cut.generation, cut.heard_samples) == (2, FRAME_SAMPLES)  # of which the last 100 are faded out


def test_a_flush_tells_of_every_generation_that_was_queued() -> None:
    """The second reply came while the first one still played; both are cut."""
    playout = Playout()
    playout.push(speech(1000), generation=1)
    playout.push(speech(2000), generation=2)
    playout.pull()
    cut, _fade = playout.flush()
    assert [(f.generation, f.heard_samples, f.dropped_samples) for f in cut] == [(1, 600, 400), (2, 0, 2000)]
