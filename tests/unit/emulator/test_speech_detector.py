"""The energy detector: speech starts and ends where it does, in quiet, in noise, at any chunk size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.emulator.model.pcm import HEARD_HZ, Pcm, level_speech, resample_chunk, resample_whole, trim_silence
from agent.emulator.model.speech_detector import (
    MarkedSpeech,
    SpeechDetector,
    SpeechEnded,
    SpeechFact,
    SpeechHeard,
    SpeechPaused,
    SpeechStarted,
)
from agent.emulator.model.voice import speech_pack
from agent.emulator.wire.incoming import Detection

PREROLL_SAMPLES = 14 * 320


def noise(seconds: float, level_db: float, seed: int = 1) -> Pcm:
    samples = np.random.default_rng(seed).normal(0, 32768 * 10 ** (level_db / 20), int(seconds * HEARD_HZ))
    return np.clip(samples, -32768, 32767).astype(np.int16)


def silence(seconds: float) -> Pcm:
    return np.zeros(int(seconds * HEARD_HZ), dtype=np.int16)


def caller(text: str) -> Pcm:
    return resample_whole(speech_pack().caller_phrase(text), 24_000, HEARD_HZ)


def listen(detector: SpeechDetector | MarkedSpeech, pcm: Pcm, chunk: int = 640) -> list[SpeechFact]:
    return [fact for at in range(0, pcm.size, chunk) for fact in detector.feed(pcm[at : at + chunk])]


def handed_on(facts: list[SpeechFact]) -> Pcm:
    pieces = [fact.pcm for fact in facts if isinstance(fact, SpeechHeard)]
    return np.concatenate(pieces) if pieces else silence(0)


def without_sound(facts: list[SpeechFact]) -> list[SpeechFact]:
    return [fact for fact in facts if not isinstance(fact, SpeechHeard)]


def cough(seconds: float = 0.12, level_db: float = -30) -> Pcm:
    return noise(seconds, level_db)


def starts(pcm: Pcm, detection: Detection) -> bool:
    return any(isinstance(fact, SpeechStarted) for fact in listen(SpeechDetector(detection), pcm))


def test_one_sentence_is_one_utterance() -> None:
    speech = caller("what time is it")
    facts = listen(SpeechDetector(), np.concatenate((silence(1), speech, silence(1))))
    started, paused, ended = without_sound(facts)
    assert isinstance(started, SpeechStarted)
    assert isinstance(paused, SpeechPaused)
    assert isinstance(ended, SpeechEnded)
    assert paused.end_samples == ended.end_samples
    assert abs(started.at_samples / HEARD_HZ - 1) < 0.15
    assert abs(ended.end_samples / HEARD_HZ - 1 - speech.size / HEARD_HZ) < 0.15
    assert speech.size <= handed_on(facts).size <= speech.size + HEARD_HZ


def test_speech_is_handed_on_while_it_goes_on() -> None:
    """Whole, from before its beginning to its last pause, and never more than a tenth of a second late."""
    lead, speech = silence(1), caller("tell me a long story")
    whole = np.concatenate((lead, speech, silence(1)))
    detector, heard = SpeechDetector(), 0
    for at in range(0, lead.size + speech.size, 320):
        heard += handed_on(detector.feed(whole[at : at + 320])).size
        if detector.speaking and at < lead.size + speech.size - HEARD_HZ // 5:
            assert heard > at - lead.size - HEARD_HZ // 10
    facts = listen(SpeechDetector(), whole)
    sound = handed_on(facts)
    first = next(fact for fact in facts if isinstance(fact, SpeechStarted))
    begin = first.at_samples - PREROLL_SAMPLES
    assert np.array_equal(sound, whole[begin : begin + sound.size])
    assert isinstance(facts[-1], SpeechEnded)
    assert begin + sound.size == facts[-1].end_samples + 10 * 320


def test_a_pause_in_a_sentence_is_handed_on_with_what_follows() -> None:
    whole = np.concatenate((silence(0.5), noise(0.5, -20), noise(0.3, -60), noise(0.5, -20), silence(1)))
    facts = listen(SpeechDetector(), whole)
    assert [type(fact) for fact in without_sound(facts)] == [SpeechStarted, SpeechPaused, SpeechPaused, SpeechEnded]
    sound = handed_on(facts)
    begin = int(0.5 * HEARD_HZ) - PREROLL_SAMPLES
    assert np.array_equal(sound, whole[begin : begin + sound.size])


@pytest.mark.parametrize("level_db", [-40, -30, -10])
@pytest.mark.parametrize("room_db", [-90, -60, -50])
def test_a_cough_is_not_speech(room_db: float, level_db: float) -> None:
    room = noise(3, room_db)
    room[HEARD_HZ : HEARD_HZ + cough().size] += cough(level_db=level_db)
    room[2 * HEARD_HZ : 2 * HEARD_HZ + cough().size] += cough(level_db=level_db)
    assert listen(SpeechDetector(), room) == []


@pytest.mark.parametrize("text", ["hello", "please stop", "roll the dice"])
def test_200_ms_of_voice_are_speech(text: str) -> None:
    speech = caller(text)
    detector = SpeechDetector()
    listen(detector, noise(1, -60))
    heard_at = next(at for at in range(0, speech.size, 320) if detector.feed(speech[at : at + 320]))
    assert 0.18 <= heard_at / HEARD_HZ <= 0.4


@pytest.mark.parametrize(("start_ms", "is_speech"), [(20, True), (100, True), (140, False), (300, False)])
def test_how_much_voice_it_takes_is_a_setting(start_ms: int, is_speech: bool) -> None:
    pcm = np.concatenate((silence(0.5), cough(), silence(0.5)))
    assert starts(pcm, Detection(start_ms=start_ms)) is is_speech


def test_low_sensitivity_wants_a_voice_well_above_the_noise() -> None:
    for readily in (True, False):
        detector = SpeechDetector(Detection(start_readily=readily))
        listen(detector, noise(6, -40))
        facts = listen(detector, noise(1, -28, seed=2))
        assert any(isinstance(fact, SpeechStarted) for fact in facts) is readily


@pytest.mark.parametrize("silence_ms", [200, 500, 900])
def test_the_silence_window_is_honoured(silence_ms: int) -> None:
    detector = SpeechDetector(Detection(silence_ms=silence_ms))
    pcm = np.concatenate((noise(0.5, -20), silence(2)))
    for at in range(0, pcm.size, 320):
        if any(isinstance(fact, SpeechEnded) for fact in detector.feed(pcm[at : at + 320])):
            assert at + 320 == int(0.5 * HEARD_HZ) + silence_ms * 16
            return
    pytest.fail("speech did not end")


def test_speech_is_heard_over_noise_and_ends_in_it() -> None:
    background = noise(8, -45)
    speech = caller("tell me a long story")
    background[5 * HEARD_HZ : 5 * HEARD_HZ + speech.size] += speech
    detector = SpeechDetector(keep_audio=False)
    listen(detector, background[: 5 * HEARD_HZ])
    assert not detector.speaking
    assert [type(fact) for fact in listen(detector, background[5 * HEARD_HZ :])] == [SpeechStarted, SpeechEnded]


def test_steady_noise_becomes_the_floor() -> None:
    detector = SpeechDetector()
    listen(detector, noise(6, -35))
    assert not detector.speaking
    assert -40 < detector.floor_db < -33
    assert listen(detector, noise(5, -35, seed=2)) == []


def test_digital_silence_does_not_lower_the_floor() -> None:
    detector = SpeechDetector()
    listen(detector, noise(6, -42))
    floor = detector.floor_db
    listen(detector, silence(10))
    assert detector.floor_db == floor


def test_a_click_is_not_speech() -> None:
    assert listen(SpeechDetector(), np.concatenate((silence(0.5), noise(0.03, -10), silence(1)))) == []


def test_closing_the_microphone_ends_speech() -> None:
    detector = SpeechDetector()
    listen(detector, noise(0.4, -20))
    *_sound, ended = detector.end()
    assert isinstance(ended, SpeechEnded)
    assert detector.end() == []


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=20))
def test_chunk_sizes_do_not_matter(sizes: list[int]) -> None:
    pcm = np.concatenate((silence(0.3), noise(0.6, -20), silence(0.8)))
    whole = listen(SpeechDetector(keep_audio=False), pcm, pcm.size)
    detector, facts, at = SpeechDetector(keep_audio=False), [], 0
    while at < pcm.size:
        size = sizes[at % len(sizes)]
        facts += detector.feed(pcm[at : at + size])
        at += size
    assert [(type(a), getattr(a, "end_samples", 0)) for a in facts] == [
        (type(b), getattr(b, "end_samples", 0)) for b in whole
    ]


def test_an_endless_utterance_is_kept_by_nobody_here() -> None:
    detector = SpeechDetector()
    beat = np.concatenate((noise(0.8, -20), noise(0.2, -60)))  # pauses too short to end it
    facts = [fact for _ in range(40) for fact in listen(detector, beat)]
    *_rest, ended = detector.end()
    assert isinstance(ended, SpeechEnded)
    assert ended.voice_s > 38
    assert max(fact.pcm.size for fact in facts if isinstance(fact, SpeechHeard)) < HEARD_HZ


def test_marks_take_the_place_of_the_detector() -> None:
    detector = MarkedSpeech()
    detector.feed(noise(1, -20))
    assert [type(fact) for fact in detector.start()] == [SpeechStarted]
    assert detector.start() == []
    said = noise(0.52, -20)
    early = listen(detector, said, 320)
    *last, ended = detector.end()
    assert isinstance(ended, SpeechEnded)
    assert ended.voice_s == 0.52
    assert handed_on(early).size == HEARD_HZ // 2
    assert np.array_equal(handed_on([*early, *last]), said)
    assert detector.end() == []


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 48_000])
def test_resampling_keeps_length_and_pitch(rate_hz: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)).astype(np.int16)
    for made in (resample_chunk(tone, rate_hz), resample_whole(tone, rate_hz, HEARD_HZ)):
        assert made.size == HEARD_HZ
        assert int(np.argmax(np.abs(np.fft.rfft(made)))) == 440


def test_loudness_and_trimming() -> None:
    quiet = np.concatenate((silence(0.5), noise(1, -40), silence(0.5)))
    trimmed = trim_silence(quiet, HEARD_HZ)
    assert trimmed.size < 1.1 * HEARD_HZ
    levelled = level_speech(trimmed).astype(float) / 32768
    assert -21 < 20 * np.log10(np.sqrt(np.mean(levelled**2))) < -19
    assert np.array_equal(level_speech(silence(0.1)), silence(0.1))
