"""When a caller heard the agent."""

from __future__ import annotations

import numpy as np

from signaling.load.ears import Ears

SILENCE = np.zeros(320, np.int16)
SPOKEN = np.full(320, 3000, np.int16)


def heard(*stretches: tuple[float, float]) -> Ears:
    """Return ears that heard the agent from and to these moments; a frame arrives every 20 ms from 0 to 20."""
    ears = Ears()
    for frame in range(1000):
        now = frame / 50
        ears.hear(SPOKEN if any(begin <= now < end for begin, end in stretches) else SILENCE, now)
    return ears


def test_a_beginning_is_found_to_the_sample() -> None:
    pcm = SILENCE.copy()
    pcm[160:] = 3000
    ears = Ears()
    ears.hear(pcm, 5.0)
    assert ears.onset_after(4.0) == 5.01
    assert ears.onset_after(5.01) is None


def test_a_pause_between_words_is_no_beginning_and_no_end() -> None:
    ears = heard((1, 2), (2.08, 3), (3.2, 4), (6, 7))
    assert [
        round(begin, 2) for begin in (ears.onset_after(0), ears.onset_after(1.5), ears.onset_after(4)) if begin
    ] == [
        1.0,
        3.2,
        6.0,
    ]
    stopped = ears.stopped_after(1.5, 20.0)
    assert stopped is not None
    assert round(stopped, 2) == 4.0
    assert [(round(begin, 2), round(end, 2)) for begin, end in ears.stretches()] == [(1, 4), (6, 7)]


def test_who_may_still_speak_has_not_stopped() -> None:
    ears = heard((1, 2))
    assert ears.stopped_after(1.5, 2.1) is None
    assert ears.stopped_after(1.5, 2.4) is not None
    assert ears.stopped_after(0.5, 9.0) is None, "nothing was heard then"


def test_what_is_audible_at_a_moment() -> None:
    ears = heard((1, 2))
    assert [ears.audible_at(moment) for moment in (0.9, 1.5, 2.2, 2.4)] == [False, True, True, False]
    assert ears.audible_between(0, 1.01)
    assert not ears.audible_between(2, 9)
    assert round(ears.quiet_s(5.0), 2) == 3.0
    assert Ears().quiet_s(5.0) > 1e9
