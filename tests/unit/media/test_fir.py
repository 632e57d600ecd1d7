"""The resampler against the figures that the design promises."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MediaError
from agent.media.fir import FirResampler, Pcm, to_mono
from tests.support.tones import snr_db, tone

AMPLITUDE = 0.9 * 32767


def convert(pcm: Pcm, rate_in_hz: int, rate_out_hz: int) -> Pcm:
    """Convert in 20 ms frames, as a call does."""
    resampler = FirResampler(rate_in_hz, rate_out_hz)
    step = rate_in_hz // 50
    return np.concatenate([resampler.push(pcm[i : i + step]) for i in range(0, len(pcm), step)])


def test_sinad_at_1_khz() -> None:
    converted = convert(tone(1000, 48_000, 2, AMPLITUDE), 48_000, 16_000)
    assert len(converted) == 32_000
    assert snr_db(converted[16_000 // 10 :], 16_000, 1000) >= 85


def test_worst_alias() -> None:
    """A tone above 8 kHz must not come back as another one below."""
    worst_db = -200.0
    for frequency_hz in range(8_700, 24_000, 100):
        converted = convert(tone(frequency_hz, 48_000, 0.3, AMPLITUDE), 48_000, 16_000)[1600:]
        rms = np.sqrt(np.mean(converted.astype(float) ** 2))
        worst_db = max(worst_db, 20 * np.log10(rms / (AMPLITUDE / np.sqrt(2)) + 1e-12))
    assert worst_db <= -80


def test_passband_is_flat_to_6_8_khz() -> None:
    for frequency_hz in (100, 1000, 3400, 6800):
        converted = convert(tone(frequency_hz, 48_000, 0.4, AMPLITUDE), 48_000, 16_000)[1600:]
        gain_db = 20 * np.log10(np.std(converted.astype(float)) / (AMPLITUDE / np.sqrt(2)))
        assert abs(gain_db) < 0.05


@pytest.mark.parametrize(
    ("rate_in_hz", "rate_out_hz"),
    [(24_000, 48_000), (24_000, 8_000), (8_000, 16_000), (16_000, 24_000), (44_100, 16_000), (22_050, 24_000)],
)
def test_other_pairs_of_rates(rate_in_hz: int, rate_out_hz: int) -> None:
    converted = convert(tone(1000, rate_in_hz, 2, AMPLITUDE), rate_in_hz, rate_out_hz)
    assert abs(len(converted) - 2 * rate_out_hz) <= rate_out_hz // 50
    assert snr_db(converted[rate_out_hz // 10 :], rate_out_hz, 1000) >= 85


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=8))
def test_cutting_does_not_matter(cuts: list[int]) -> None:
    """The same signal in other pieces gives the same samples: no boundary is audible."""
    signal = np.random.default_rng(1).integers(-20_000, 20_000, sum(cuts)).astype(np.int16)
    whole = FirResampler(48_000, 16_000).push(signal)
    resampler = FirResampler(48_000, 16_000)
    edges = np.cumsum([0, *cuts])
    pieces = [resampler.push(signal[a:b]) for a, b in itertools.pairwise(edges)]
    assert np.abs(np.concatenate(pieces).astype(int) - whole).max(initial=0) <= 1  # BLAS adds in another order


def test_full_scale_does_not_wrap() -> None:
    square = np.where(np.arange(9600) // 100 % 2, 32767, -32768).astype(np.int16)
    converted = convert(square, 48_000, 16_000).astype(int)
    assert np.abs(np.diff(converted[40::33])).max() <= 65535
    assert converted.max() == 32767
    assert converted.min() == -32768


@pytest.mark.parametrize("rate_hz", [0, 1, 999_999, 47_999])
def test_odd_rates_are_refused(rate_hz: int) -> None:
    with pytest.raises(MediaError, match=str(rate_hz)):
        FirResampler(rate_hz, 16_000)


def test_stereo_is_averaged_without_overflow() -> None:
    stereo = np.array([32767, 32767, -32768, -32768, 100, 300, 7, -7], np.int16)
    assert to_mono(stereo, 2).tolist() == [32767, -32768, 200, 0]
