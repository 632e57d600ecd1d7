"""The demo model's voice: complete without a speech program, and made once however many ask."""

import asyncio
import random
from datetime import datetime

import numpy as np
import pytest

from agent.emulator import Say, Turn
from agent.emulator.model import phrases
from agent.emulator.model.answers import DemoModel
from agent.emulator.model.pcm import Pcm
from agent.emulator.model.speech import SpeechCutter
from agent.emulator.model.voice import Voice, speech_pack
from agent.emulator.wire.incoming import FunctionResult

NOON = datetime(2026, 11, 21, 15, 5)
TYPED = (
    *("hello", "what time is it", "what day is it", "roll a die", "flip a coin", "tell me a story", "zzz", "..."),
    *("7 - 10", "3.5 / 2", "9999 * 9999", "1 / 0", "99999 * 99999", "weather in Rome", "call nothing"),
    *("who are you", "help", "how are you", "thanks", "bye", "stop", "what is my name", "what did i say"),
)
TURNS = (
    *(Turn(NOON, None, voice_s=seconds) for seconds in (0.5, 1.0, 12.0, 59.0)),
    *(Turn(NOON, text) for text in TYPED),
    Turn(NOON, "what do you see"),
    Turn(NOON, "what do you see", pictures=1),
    Turn(NOON, "what do you see", pictures=7, picture_size=(1280, 720)),
    Turn(NOON, "weather", functions={"get_weather": False}),
    Turn(NOON, "weather in Rome", functions={"get_weather": True}),
    Turn(NOON, unanswered=True),
    Turn(NOON, results=(FunctionResult("c1", "get_weather", {"temp_c": -2.5, "sky": "sunny"}),)),
    Turn(NOON, results=(FunctionResult("c1", "x", {"error": "no"}),)),
)


@pytest.mark.parametrize("turn", TURNS, ids=str)
async def test_the_pack_alone_says_every_reply_of_known_words(turn: Turn) -> None:
    """Else a machine without flite hears that the model cannot speak."""
    voice = Voice(programs=False)
    refusal = speech_pack().phrase(phrases.NOT_ALOUD)
    said = [part.text for part in DemoModel(random.Random(1)).reply(turn) if isinstance(part, Say)]
    assert said
    for text in said:
        assert await voice.say(text) is not refusal, text


async def test_what_the_pack_lacks_is_not_left_silent() -> None:
    assert await Voice(programs=False).say("antidisestablishmentarianism") is speech_pack().phrase(
        phrases.NOT_ALOUD
    )


class CountingVoice(Voice):
    """Counts what it is asked to say; each answer lets the other sessions run."""

    asked = 0

    async def say(self, text: str) -> Pcm:
        self.asked += 1
        await asyncio.sleep(0)
        return np.ones(960, dtype=np.int16)


async def test_a_phrase_that_many_sessions_want_is_made_once() -> None:
    voice = CountingVoice(programs=False)
    cutter = SpeechCutter(voice)
    made = await asyncio.gather(*(cutter.speech("the same words") for _ in range(20)))
    assert voice.asked == 1
    assert all(speech is made[0] for speech in made)


def test_the_pack_holds_every_sentence_and_20_seconds_of_story() -> None:
    pack = speech_pack()
    for sentence in phrases.SENTENCES:
        assert pack.phrase(sentence) is not None, sentence
    assert sum(part.size for part in map(pack.phrase, phrases.STORY) if part is not None) > 20 * 24_000


@pytest.mark.parametrize(
    "text",
    [
        "It is 10:42 in the morning.",
        "Today is Sunday, March 3.",
        "12 plus 30.5 is 42.5.",
        "It is -3 degrees and sunny.",
    ],
)
def test_times_and_numbers_are_joined_from_pieces(text: str) -> None:
    pcm = speech_pack().join(text)
    assert pcm is not None
    assert 1 * 24_000 < pcm.size < 7 * 24_000
    level = 20 * np.log10(np.sqrt(np.mean((pcm / 32768.0) ** 2)))
    assert -25 < level < -15
