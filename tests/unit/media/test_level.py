"""Speech is distinguished from silence, clicks and steady noise by its level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.media.level import (
    AUDIBLE_PEAK,
    HANGOVER_FRAMES,
    MIN_SPEECH_DBFS,
    START_FRAMES,
    SpeechLevel,
    is_audible,
)

FRAME_SAMPLES = 320
SILENCE = np.zeros(FRAME_SAMPLES, np.int16)


def sound(dbfs: float) -> NDArray[np.int16]:
    """Return a square wave of that level."""
    half = np.full(FRAME_SAMPLES // 2, round(32_768 * 10 ** (dbfs / 20)), np.int16)
    return np.concatenate((half, -half))


def after(*frames: NDArray[np.int16]) -> SpeechLevel:
    level = SpeechLevel()
    for frame in frames:
        level.push(frame)
    return level


@pytest.mark.parametrize("dbfs", [-6.0, -20.0, -40.0, -60.0])
def test_the_level_is_in_db_of_full_scale(dbfs: float) -> None:
    assert after(sound(dbfs)).dbfs == pytest.approx(dbfs, abs=0.1)


def test_the_loudest_frame_does_not_overflow() -> None:
    assert after(np.full(FRAME_SAMPLES, -32_768, np.int16)).dbfs == pytest.approx(0.0, abs=0.1)


def test_digital_silence_is_no_speech() -> None:
    level = after(*[SILENCE] * 100)
    assert not level.speaking
    assert level.dbfs < -90


def test_speech_begins_with_its_third_loud_frame() -> None:
    level = after(*[SILENCE] * 20)
    heard = [(level.push(sound(-25)), level.speaking) for _ in range(START_FRAMES)]
    assert heard == [(True, False), (True, False), (True, True)]


def test_a_click_is_no_speech() -> None:
    level = SpeechLevel()
    for _ in range(20):
        assert level.push(sound(-10))
        for _ in range(4):
            level.push(SILENCE)
        assert not level.speaking


def test_speech_ends_after_the_hangover() -> None:
    level = after(*[sound(-25)] * 10)
    speaking = []
    for _ in range(HANGOVER_FRAMES):
        level.push(SILENCE)
        speaking.append(level.speaking)
    assert speaking == [True] * (HANGOVER_FRAMES - 1) + [False]


def test_a_pause_between_words_ends_no_talkspurt() -> None:
    level = after(*[sound(-25)] * 10, *[SILENCE] * (HANGOVER_FRAMES - 1), sound(-25))
    for _ in range(HANGOVER_FRAMES - 1):
        level.push(SILENCE)
        assert level.speaking


def test_what_is_too_faint_is_never_speech() -> None:
    level = after(*[SILENCE] * 50)
    assert not any(level.push(sound(MIN_SPEECH_DBFS - 1)) for _ in range(100))
    assert not level.speaking


def test_steady_noise_becomes_the_floor() -> None:
    noise = np.random.default_rng(1).normal(0, 330, (1000, FRAME_SAMPLES)).astype(np.int16)  # -40 dBFS
    level = after(*noise)
    assert level.dbfs == pytest.approx(-40, abs=1.5)
    assert not level.speaking


def test_speech_over_noise_that_became_the_floor_is_still_heard() -> None:
    noise = np.random.default_rng(2).normal(0, 330, (1000, FRAME_SAMPLES)).astype(np.int16)
    assert after(*noise, *[sound(-20)] * START_FRAMES).speaking


def test_the_floor_follows_when_the_noise_stops() -> None:
    """A quiet speaker is heard again within a quarter of a second after a noise has ended."""
    noise = np.random.default_rng(3).normal(0, 1000, (1500, FRAME_SAMPLES)).astype(np.int16)  # -30 dBFS
    level = after(*noise, *[SILENCE] * 12)
    assert level.push(sound(-45))


@pytest.mark.parametrize(
    ("peak", "audible"),
    [
        *((0, False), (AUDIBLE_PEAK, False), (-AUDIBLE_PEAK, False)),
        *((AUDIBLE_PEAK + 1, True), (-AUDIBLE_PEAK - 1, True), (32_767, True), (-32_768, True)),
    ],
)
def test_one_sample_that_would_be_heard_makes_a_voice_audible(peak: int, audible: bool) -> None:
    voice = np.zeros(480, np.int16)
    voice[-1] = peak
    assert is_audible(voice) is audible


def test_no_voice_at_all_is_not_audible() -> None:
    assert not is_audible(np.zeros(0, np.int16))


def test_the_dither_of_a_silent_voice_is_not_audible() -> None:
    dither = np.random.default_rng(4).integers(-2, 3, 24_000).astype(np.int16)
    assert not is_audible(dither)
    assert is_audible(sound(-50))


def test_an_empty_frame_changes_nothing() -> None:
    level = after(*[sound(-25)] * 3)
    assert not level.push(np.zeros(0, np.int16))
    assert level.speaking
    assert level.dbfs == pytest.approx(-25, abs=0.1)
