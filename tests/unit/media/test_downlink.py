"""The model's bytes become 24 kHz samples, however they are cut into messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import MediaError
from agent.media.downlink import VoiceReader


def ramp(samples: int) -> bytes:
    return np.arange(-samples // 2, samples - samples // 2, dtype="<i2").tobytes()


def test_24_khz_passes_unchanged() -> None:
    assert VoiceReader().read(b"\x01\x00\xff\xff\x00\x80", 24_000).tolist() == [1, -1, -32768]


def test_a_sample_cut_in_two_is_put_together_again() -> None:
    reader = VoiceReader()
    pieces = [reader.read(piece, 24_000).tolist() for piece in (b"\x01\x00\x02", b"\x00\x03\x00\x04", b"", b"\x00")]
    assert pieces == [[1], [2, 3], [], [4]]


def test_a_single_byte_waits_for_its_other_half() -> None:
    reader = VoiceReader()
    assert reader.read(b"\x07", 24_000).tolist() == []
    assert reader.read(b"\x00", 24_000).tolist() == [7]


def test_reset_forgets_half_a_sample() -> None:
    """A new generation begins on a whole sample; the old half would shift all of it into noise."""
    reader = VoiceReader()
    reader.read(b"\x01\x00\x02", 24_000)
    reader.reset()
    assert reader.read(b"\x05\x00", 24_000).tolist() == [5]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_another_rate_lasts_as_long(rate_hz: int) -> None:
    voice = VoiceReader().read(ramp(rate_hz), rate_hz)
    assert 0 <= 24_000 - len(voice) < 480
    assert voice.dtype == np.int16


def test_a_tone_at_16_khz_keeps_its_pitch_and_level() -> None:
    tone = (10_000 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)).astype("<i2")
    voice = VoiceReader().read(tone.tobytes(), 16_000)[1000:-1000].astype(np.float64)
    loudest_hz = np.argmax(np.abs(np.fft.rfft(voice * np.hanning(len(voice))))) * 24_000 / len(voice)
    assert abs(float(loudest_hz) - 1000) < 2
    assert abs(float(np.abs(voice).max()) - 10_000) < 100


@pytest.mark.parametrize("rate_hz", [0, 1, 3_999, 192_001, 999_999, 24_001])
def test_a_rate_that_nobody_speaks_at_is_refused(rate_hz: int) -> None:
    with pytest.raises(MediaError, match=str(rate_hz)):
        VoiceReader().read(ramp(480), rate_hz)


def test_after_a_refused_rate_the_voice_is_read_again() -> None:
    reader = VoiceReader()
    with pytest.raises(MediaError):
        reader.read(b"\x01\x00", 1)
    assert reader.read(b"\x02\x00", 24_000).tolist() == [2]


def test_a_change_of_rate_does_not_carry_sound_over() -> None:
    reader = VoiceReader()
    reader.read(np.full(1600, 20_000, "<i2").tobytes(), 16_000)
    reader.read(bytes(480), 24_000)
    assert not reader.read(bytes(3200), 16_000).any()


@settings(max_examples=50)
@given(st.sampled_from([16_000, 24_000, 48_000]), st.lists(st.integers(0, 700), max_size=30))
def test_any_cutting_gives_the_same_voice(rate_hz: int, cuts: list[int]) -> None:
    """To the bit without a conversion; else to the last bit, where the order of a sum decides how .5 is rounded."""
    data = ramp(3000)
    reader, voice, start = VoiceReader(), [], 0
    for size in [*cuts, len(data)]:
        voice.append(reader.read(data[start : start + size], rate_hz))
        start += size
    whole = VoiceReader().read(data, rate_hz)
    np.testing.assert_allclose(np.concatenate(voice), whole, rtol=0, atol=0 if rate_hz == 24_000 else 1)
