"""What callers play: tones, noise of a level, recordings of both sides."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from signaling.load.sounds import FRAME_SAMPLES, RATE_HZ, VOICE_RMS, loud_part, noise, rms_of, tone
from signaling.load.tape import TAPE_HZ, Tape


def test_a_tone_has_its_pitch_and_length() -> None:
    pcm = tone(700, 300)
    assert len(pcm) == 0.3 * RATE_HZ
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    assert np.argmax(spectrum) * RATE_HZ / len(pcm) == pytest.approx(700, abs=5)
    assert abs(int(pcm[0])) < 200, "it does not click"


def test_noise_has_its_level_and_its_seed() -> None:
    made = noise(300.0, 1)
    assert np.sqrt(np.mean(made.astype(float) ** 2)) == pytest.approx(300, rel=0.01)
    assert (made == noise(300.0, 1)).all()
    assert not (made == noise(300.0, 2)).all()
    assert len(made) % FRAME_SAMPLES == 0, "it is repeated frame by frame"


def test_the_level_of_speech_leaves_pauses_out() -> None:
    speech = np.concatenate([tone(300, 400), np.zeros(RATE_HZ, np.int16)])
    assert rms_of(speech) == pytest.approx(rms_of(tone(300, 400)), rel=0.02)
    assert rms_of(np.zeros(RATE_HZ, np.int16)) == VOICE_RMS


def test_the_loud_part_of_a_frame() -> None:
    frame = np.zeros(FRAME_SAMPLES, np.int16)
    assert loud_part(frame) is None
    frame[100:200] = -3000
    assert loud_part(frame) == (100, 200)


def test_a_tape_puts_both_sides_where_they_belong(tmp_path: Path) -> None:
    tape = Tape()
    for frame in range(100):  # the caller speaks for two seconds
        tape.caller(np.full(480, 1000, np.int16), 10.02 + frame / 50)
    for frame in range(25):  # the agent for half a second, a second later, with packets that come unevenly
        tape.agent(np.full(320, -2000, np.int16), 11.0 + frame / 50 + (frame % 3) * 0.01)
    stereo = tape.stereo()
    assert stereo.shape == (2 * TAPE_HZ, 2)
    assert abs(stereo[:, 0].astype(float) - 1000).max() < 400
    loud = np.flatnonzero(stereo[:, 1])
    assert (loud[0], len(loud)) == (TAPE_HZ, TAPE_HZ // 2)
    tape.write(tmp_path / "new" / "call.wav")
    with wave.open(str(tmp_path / "new" / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, TAPE_HZ, 2 * TAPE_HZ)
    assert Tape().stereo().shape == (0, 2)
