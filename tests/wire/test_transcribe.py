"""Speech recognition finds words while they are spoken, for several callers at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from agent.emulator.model.pcm import HEARD_HZ, Pcm, resample_whole
from agent.emulator.model.transcribe import Transcriber, Utterance, recognition_installed
from agent.emulator.model.voice import key_of, speech_pack

pytestmark = pytest.mark.skipif(not recognition_installed(), reason="needs the extra `demo`")
PIECE = HEARD_HZ // 10
PAUSE = np.zeros(HEARD_HZ // 5, np.int16)


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    made = Transcriber()
    yield made
    made.close()


def spoken(text: str) -> Pcm:
    lead = np.zeros(HEARD_HZ // 4, np.int16)
    return np.concatenate((lead, resample_whole(speech_pack().caller_phrase(text), 24_000, HEARD_HZ), PAUSE))


def add(utterance: Utterance, pcm: Pcm) -> None:
    for at in range(0, pcm.size, PIECE):
        utterance.add(pcm[at : at + PIECE])


def caught_up(transcriber: Transcriber) -> None:
    transcriber.submit(lambda: None).result(20)


async def test_words_are_known_before_anybody_asks(transcriber: Transcriber) -> None:
    utterance = transcriber.begin()
    add(utterance, spoken("what time is it"))
    utterance.paused()
    caught_up(transcriber)
    assert utterance.expected == "what time is it"
    assert await utterance.words() == "what time is it"


async def test_who_goes_on_after_a_pause_is_understood_as_a_whole(transcriber: Transcriber) -> None:
    speech = spoken("what is twelve plus thirty")
    utterance = transcriber.begin()
    add(utterance, np.concatenate((speech[: speech.size // 2], PAUSE)))
    utterance.paused()
    caught_up(transcriber)
    assert utterance.expected != "what is twelve plus thirty"
    add(utterance, speech[speech.size // 2 :])
    utterance.paused()
    assert await utterance.words() == "what is twelve plus thirty"


@pytest.mark.parametrize(
    "text", ["That number is too large for me.", "I am fine, thank you. All my rules are in order."]
)
async def test_what_is_no_phrase_of_the_demo_is_not_taken_for_one(transcriber: Transcriber, text: str) -> None:
    speech = speech_pack().phrase(text)
    assert speech is not None
    utterance = transcriber.begin()
    add(utterance, np.concatenate((PAUSE, resample_whole(speech, 24_000, HEARD_HZ), PAUSE)))
    utterance.paused()
    words = await utterance.words()
    assert utterance.expected == ""
    assert words is not None
    wanted = set(key_of(text).split())
    assert len(wanted & set(words.split())) >= 0.4 * len(wanted)


async def test_callers_who_speak_at_the_same_time_are_all_understood(transcriber: Transcriber) -> None:
    texts = ["what time is it", "what is twelve plus thirty", "what is the weather in paris"]
    utterances = [transcriber.begin() for _ in texts]
    voices = [spoken(text) for text in texts]
    for at in range(0, max(voice.size for voice in voices), PIECE):
        for utterance, voice in zip(utterances, voices, strict=True):
            if at < voice.size:
                utterance.add(voice[at : at + PIECE])
    assert [await utterance.words() for utterance in utterances] == texts


async def test_a_caller_who_left_holds_nobody_up(transcriber: Transcriber) -> None:
    gone, there = transcriber.begin(), transcriber.begin()
    add(gone, spoken("hello"))
    gone.forget()
    add(there, spoken("roll the dice"))
    there.paused()
    caught_up(transcriber)
    assert there.expected == "roll the dice"


async def test_of_endless_speech_the_end_is_kept(transcriber: Transcriber) -> None:
    utterance = transcriber.begin()
    for _ in range(35):
        utterance.add(np.zeros(HEARD_HZ, np.int16))
        caught_up(transcriber)
    assert utterance.samples <= 30 * HEARD_HZ
    add(utterance, spoken("hello"))
    assert (await utterance.words() or "").endswith("hello")


async def test_nothing_said_is_no_word(transcriber: Transcriber) -> None:
    assert await transcriber.begin().words() == ""
