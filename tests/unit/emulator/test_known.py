"""Speech that is known beforehand: its words are understood if their sound arrived, and only then."""

from __future__ import annotations

import numpy as np
import pytest

from agent.emulator.model.known import KnownPhrases
from agent.emulator.model.pcm import HEARD_HZ, SPOKEN_HZ, Pcm, resample_whole
from agent.emulator.model.phrases import CALLER
from agent.emulator.model.voice import speech_pack

SENTENCE = "what is the weather in paris"


@pytest.fixture(scope="module")
def spoken() -> dict[str, Pcm]:
    """All that callers say, at the rate that the model hears."""
    return {text: resample_whole(speech_pack().caller_phrase(text), SPOKEN_HZ, HEARD_HZ) for text in CALLER}


@pytest.fixture(scope="module")
def known(spoken: dict[str, Pcm]) -> KnownPhrases:
    phrases = KnownPhrases()
    for text, pcm in spoken.items():
        phrases.add(text, pcm)
    return phrases


def around(pcm: Pcm, gain: float = 1.0) -> Pcm:
    """Return what is said with silence around it, at another level."""
    silence = np.zeros(HEARD_HZ // 3, np.int16)
    return np.concatenate([silence, (pcm * gain).astype(np.int16), silence])


@pytest.mark.parametrize("text", CALLER)
@pytest.mark.parametrize("gain", [1.0, 0.2])
def test_each_sentence_is_understood(known: KnownPhrases, spoken: dict[str, Pcm], text: str, gain: float) -> None:
    assert known.words_in(around(spoken[text], gain)) == text


def test_what_was_lost_on_the_way_is_not_understood(known: KnownPhrases, spoken: dict[str, Pcm]) -> None:
    pcm = spoken[SENTENCE].copy()
    pcm[len(pcm) // 3 : len(pcm) * 2 // 3] = 0
    understood = known.words_in(around(pcm)).split()
    assert 2 <= len(understood) < len(SENTENCE.split())
    assert set(understood) < set(SENTENCE.split())


@pytest.mark.parametrize("text", ["hello", SENTENCE])
def test_a_beginning_or_end_that_was_not_detected_hides_no_more_than_that(
    known: KnownPhrases, spoken: dict[str, Pcm], text: str
) -> None:
    pcm, cut = spoken[text], HEARD_HZ // 10
    assert known.words_in(pcm[cut:]) == text
    assert known.words_in(pcm[:-cut]) == text


def test_a_sentence_whose_parts_were_moved_is_understood_once(known: KnownPhrases, spoken: dict[str, Pcm]) -> None:
    pcm = spoken[SENTENCE]
    half = len(pcm) // 2
    gap = np.zeros(HEARD_HZ // 4, np.int16)
    assert known.words_in(around(np.concatenate([pcm[:half], gap, pcm[half:]]))) == SENTENCE


def test_noise_hides_nothing_at_ten_decibels(known: KnownPhrases, spoken: dict[str, Pcm]) -> None:
    pcm = around(spoken[SENTENCE]).astype(float)
    rms = np.sqrt(np.mean(spoken[SENTENCE].astype(float) ** 2))
    hiss = np.random.default_rng(1).normal(size=pcm.size) * rms * 10 ** (-10 / 20)
    assert known.words_in(np.clip(pcm + hiss, -32768, 32767).astype(np.int16)) == SENTENCE


def test_several_sentences_are_understood_in_order(known: KnownPhrases, spoken: dict[str, Pcm]) -> None:
    said = ["please stop", "what time is it", "please stop"]
    assert known.words_in(np.concatenate([around(spoken[text]) for text in said])) == " ".join(said)


def test_other_sounds_are_no_words(known: KnownPhrases) -> None:
    hiss = (np.random.default_rng(1).normal(size=2 * HEARD_HZ) * 3000).astype(np.int16)
    agent = speech_pack().phrase("Goodbye! It was nice talking to you.")
    assert agent is not None
    other = resample_whole(agent, SPOKEN_HZ, HEARD_HZ)
    for sound in (hiss, np.zeros(HEARD_HZ, np.int16), around(other), np.zeros(10, np.int16)):
        assert known.words_in(sound) == ""


async def test_an_utterance_is_asked_for_its_words(known: KnownPhrases, spoken: dict[str, Pcm]) -> None:
    heard = known.begin()
    assert await heard.words() == ""
    pcm = around(spoken[SENTENCE])
    for at in range(0, pcm.size, 1600):
        heard.add(pcm[at : at + 1600])
        heard.paused()
    assert await heard.words() == SENTENCE
