"""aiortc's frames become 16 kHz mono with no time missing, where packets cannot be tapped."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import accumulate

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.errors import MediaError
from agent.media.inbound import MAX_GAP_S, FrameInlet

OUT_HZ = 16_000
FRAME_OUT_SAMPLES = OUT_HZ // 50
FIR_DELAY_SAMPLES = 60  # about: half the filter's length


def frame(
    pcm: NDArray[np.int16], rate_hz: int, pts: int | None, *, layout: str = "mono", format_name: str = "s16"
) -> av.AudioFrame:
    made = av.AudioFrame.from_ndarray(np.atleast_2d(pcm), format=format_name, layout=layout)
    made.sample_rate = rate_hz
    made.pts = pts
    made.time_base = Fraction(1, rate_hz)
    return made


def speech(rate_hz: int, value: int = 8000, duration_ms: int = 20) -> NDArray[np.int16]:
    return np.full(rate_hz * duration_ms // 1000, value, np.int16)


def hear(frames: list[av.AudioFrame]) -> tuple[NDArray[np.int16], FrameInlet]:
    inlet = FrameInlet()
    arrives = accumulate(((each.pts or 0) / each.sample_rate for each in frames), max)
    return np.concatenate([inlet.push(each, now) for each, now in zip(frames, arrives, strict=True)]), inlet


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_a_second_of_frames_is_a_second_of_audio(rate_hz: int) -> None:
    samples = rate_hz // 50
    heard, inlet = hear([frame(speech(rate_hz), rate_hz, number * samples) for number in range(50)])
    assert len(heard) == OUT_HZ
    assert heard.dtype == np.int16
    assert (inlet.stats.samples, inlet.stats.filled_samples, inlet.stats.restarts) == (OUT_HZ, 0, 0)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_a_gap_in_time_is_filled_with_silence_of_its_length(rate_hz: int) -> None:
    samples = rate_hz // 50
    frames = [frame(speech(rate_hz), rate_hz, pts * samples) for pts in (0, 1, 12, 13)]
    heard, inlet = hear(frames)
    assert len(heard) == 14 * FRAME_OUT_SAMPLES
    assert inlet.stats.filled_samples == 10 * FRAME_OUT_SAMPLES
    silence = heard[2 * FRAME_OUT_SAMPLES + 2 * FIR_DELAY_SAMPLES : 12 * FRAME_OUT_SAMPLES]
    assert not silence.any()


def test_speech_after_a_gap_is_heard_at_its_own_time() -> None:
    silence, loud = np.zeros(960, np.int16), speech(48_000)
    heard, _ = hear([frame(silence, 48_000, 0), frame(loud, 48_000, 48_000), frame(loud, 48_000, 48_960)])
    began = int(np.flatnonzero(heard > 4000)[0])
    assert OUT_HZ <= began <= OUT_HZ + FIR_DELAY_SAMPLES


def test_16_khz_passes_unchanged() -> None:
    pcm = np.arange(320, dtype=np.int16)
    heard, _ = hear([frame(pcm, 16_000, 0)])
    assert heard.tolist() == pcm.tolist()


@pytest.mark.parametrize("format_name", ["s16", "s16p"])
def test_stereo_is_averaged(format_name: str) -> None:
    left, right = np.full(320, 1000, np.int16), np.full(320, 3000, np.int16)
    pair = np.stack((left, right))
    pcm = pair if format_name == "s16p" else pair.T.reshape(-1)
    heard, _ = hear([frame(pcm, 16_000, 0, layout="stereo", format_name=format_name)])
    assert heard.tolist() == [2000] * 320


def test_stereo_lasts_as_long_as_mono() -> None:
    pcm = np.zeros(2 * 960, np.int16)
    heard, inlet = hear([frame(pcm, 48_000, number * 960, layout="stereo") for number in range(5)])
    assert len(heard) == 5 * FRAME_OUT_SAMPLES
    assert inlet.stats.filled_samples == 0


def test_a_change_of_rate_is_followed_and_fills_nothing() -> None:
    wide = [frame(speech(48_000), 48_000, number * 960) for number in range(10)]
    narrow = [frame(speech(8_000), 8_000, 90_000 + number * 160) for number in range(10)]
    heard, inlet = hear(wide + narrow)
    assert len(heard) == 20 * FRAME_OUT_SAMPLES
    assert inlet.stats.filled_samples == 0


@pytest.mark.parametrize("jump_s", [-3600.0, -0.2, MAX_GAP_S + 1, 80_000.0])
def test_a_jump_that_is_no_gap_is_a_restart(jump_s: float) -> None:
    jump = int(jump_s * 48_000)
    frames = [frame(speech(48_000), 48_000, pts) for pts in (0, 960, 1920 + jump, 2880 + jump)]
    heard, inlet = hear(frames)
    assert len(heard) == 4 * FRAME_OUT_SAMPLES
    assert (inlet.stats.restarts, inlet.stats.filled_samples) == (1, 0)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("jitter_ms", [1, 4, 30])
def test_a_clock_that_jitters_costs_no_time(rate_hz: int, jitter_ms: int) -> None:
    """Twenty seconds stay twenty; what was filled in vain is deducted from the next gap."""
    rng, samples = random.Random(1), rate_hz // 50
    pcm = speech(rate_hz)
    frames = [
        frame(pcm, rate_hz, number * samples + rng.randint(-jitter_ms, jitter_ms) * rate_hz // 1000)
        for number in range(1000)
        if number % 10
    ]
    heard, inlet = hear(frames)
    assert len(heard) == pytest.approx(20 * OUT_HZ, abs=(2 * jitter_ms + 30) * OUT_HZ / 1000)
    assert inlet.stats.restarts == 0
    if jitter_ms < 5:
        assert inlet.stats.filled_samples == pytest.approx(99 * FRAME_OUT_SAMPLES, abs=FRAME_OUT_SAMPLES)


def test_the_longest_gap_is_filled_whole() -> None:
    gap = int(MAX_GAP_S * 48_000)
    heard, inlet = hear([frame(speech(48_000), 48_000, pts) for pts in (0, 960 + gap)])
    assert len(heard) == MAX_GAP_S * OUT_HZ + 2 * FRAME_OUT_SAMPLES
    assert inlet.stats.restarts == 0


def test_frames_without_time_are_taken_as_they_come() -> None:
    heard, inlet = hear([frame(speech(16_000), 16_000, None) for _ in range(3)])
    assert len(heard) == 3 * FRAME_OUT_SAMPLES
    assert inlet.stats.restarts == 0


def test_another_format_is_refused() -> None:
    made = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.float32), format="flt", layout="mono")
    made.sample_rate = 16_000
    with pytest.raises(MediaError, match="flt"):
        FrameInlet().push(made, 0.0)


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000]),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 500)), min_size=1, max_size=25),
    st.integers(0, 1 << 33),
)
def test_samples_heard_equal_time_elapsed(rate_hz: int, pieces: list[tuple[int, int]], first_pts: int) -> None:
    """Whatever the lengths of frames and gaps; less than a frame may be held back, or taken for jitter."""
    inlet, pts, heard = FrameInlet(), first_pts, 0
    for length_ms, gap_ms in pieces:
        pcm = speech(rate_hz, duration_ms=length_ms)
        heard += len(inlet.push(frame(pcm, rate_hz, pts), pts / rate_hz))
        ended = pts + len(pcm)
        pts = ended + rate_hz * gap_ms // 1000
    elapsed = (ended - first_pts) * OUT_HZ / rate_hz
    assert 0 <= elapsed - heard < FRAME_OUT_SAMPLES + length_ms / 2 * OUT_HZ / 1000
    assert inlet.stats.samples == heard
    assert inlet.stats.restarts == 0
