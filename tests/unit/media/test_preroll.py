"""If the mark comes late, the beginning of the speech is kept, and nothing else."""

from __future__ import annotations

import numpy as np

from agent.media.fir import Pcm
from agent.media.preroll import LEAD_FRAMES, MAX_FRAMES, Preroll


def frame(number: int) -> Pcm:
    return np.full(320, number, np.int16)


def numbers(frames: list[Pcm]) -> list[int]:
    return [int(each[0]) for each in frames]


def test_speech_that_goes_on_is_kept_with_a_little_before_it() -> None:
    preroll = Preroll()
    for number in range(20):
        preroll.push(frame(number), speaking=number >= 10)
    assert numbers(preroll.take()) == list(range(10 - LEAD_FRAMES, 20))


def test_speech_that_has_ended_is_not_kept() -> None:
    preroll = Preroll()
    for number in range(20):
        preroll.push(frame(number), speaking=number < 10)
    assert preroll.take() == []


def test_a_second_at_most_is_kept() -> None:
    preroll = Preroll()
    for number in range(3 * MAX_FRAMES):
        preroll.push(frame(number), speaking=True)
    assert numbers(preroll.take()) == list(range(2 * MAX_FRAMES, 3 * MAX_FRAMES))


def test_what_was_taken_is_not_taken_again() -> None:
    preroll = Preroll()
    preroll.push(frame(1), speaking=True)
    assert numbers(preroll.take()) == [1]
    assert preroll.take() == []
