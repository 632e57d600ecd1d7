"""What the demo model answers, and that its voice can say all of it."""

import random
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.asides import NUDGE, Role, context_note, say_request
from agent.emulator.model import phrases
from agent.emulator.model.answers import DemoModel
from agent.emulator.model.picture import picture_size
from agent.emulator.model.speech import CHUNK_SAMPLES, cut
from agent.emulator.model.sums import find_sum, number_words
from agent.emulator.model.turn import CallFunction, Reply, Say, Turn
from agent.emulator.model.voice import key_of, speech_pack, spoken_words
from agent.emulator.wire.incoming import FunctionResult

NOON = datetime(2026, 11, 21, 15, 5)


def ask(text: str | None, model: DemoModel | None = None, **turn: object) -> Reply:
    return (model or DemoModel(random.Random(1))).reply(Turn(NOON, text, **turn))  # type: ignore[arg-type]


def said(reply: Reply) -> str:
    return " ".join(part.text for part in reply if isinstance(part, Say))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Hello!", phrases.GREETING),
        ("what time is it?", "It is 3:05 in the afternoon."),
        ("What day is it", "Today is Saturday, November 21."),
        ("what is twelve plus thirty", "12 plus 30 is 42."),
        ("12*30", "12 times 30 is 360."),
        ("what is ten divided by zero", phrases.ZERO_DIVISION),
        ("999999 * 999999", phrases.TOO_LARGE),
        ("who are you", phrases.WHO),
        ("what can you do", phrases.ABILITIES),
        ("thanks a lot", phrases.WELCOME),
        ("see you", phrases.GOODBYE),
        ("please stop", phrases.STOPPED),
        ("what do you see", phrases.NO_PICTURE),
        ("repeat after me: three little birds", "three little birds"),
        ("the weather in paris", phrases.NO_WEATHER_TOOL),
        ("call frobnicate", phrases.NO_SUCH_TOOL),
        ("colourless green ideas", phrases.NOT_UNDERSTOOD),
        ("...", phrases.NOT_CAUGHT),
    ],
)
def test_answers(text: str, answer: str) -> None:
    assert said(ask(text)) == answer


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_a_note_is_remembered_whoever_it_is_from(role: Role) -> None:
    model = DemoModel(random.Random(1))
    model.remember([("user", context_note('The "caller" says: my name is Ada', role))])
    assert said(ask("what is my name", model)) == "Your name is Ada."


def test_a_note_may_be_answered_and_is_not_what_the_caller_said() -> None:
    model = DemoModel(random.Random(1))
    assert said(ask("hello", model)) == phrases.GREETING
    assert said(ask(context_note("what is two plus two", "system"), model)) == "2 plus 2 is 4."
    assert said(ask("what did I say", model)) == "You said: hello"


@pytest.mark.parametrize(
    "aside",
    [NUDGE, say_request("Good day.")],
)
def test_what_the_service_says_is_not_what_the_caller_said(aside: str) -> None:
    model = DemoModel(random.Random(1))
    ask("hello", model)
    ask(aside, model)
    assert said(ask("what did I say", model)) == "You said: hello"


@pytest.mark.parametrize(
    "text",
    [
        r'call look_up {"q": "\ud83d"}',
        'call look_up {"q": NaN}',
        'call look_up {"q": ' + "[" * 2000 + "]" * 2000 + "}",
        r'[Not said by the caller. Take note: "\x"]',
        r'[Not said by the caller. Say to the caller now, in these words: "\ud83d"]',
        "9" * 400 + " - " + "9" * 400,
        "one " + "hundred " * 3000 + "plus one",
    ],
)
def test_an_answer_can_always_be_sent(text: str) -> None:
    for part in ask(text, functions={"look_up": False}):
        assert not isinstance(part, CallFunction)
        assert isinstance(part, Say)
        assert "nan" not in part.text
        part.text.encode()


def test_only_what_was_sent_of_an_interrupted_reply_is_remembered() -> None:
    model = DemoModel(random.Random(1))
    reply = ask("tell me a story", model)
    model.interrupted(reply, "Here is a long")
    assert model.history == (("user", "tell me a story"), ("model", "Here is a long"))
    model.interrupted(ask("how is the weather", model, functions={"get_weather": False}), "")
    assert model.history[-1] == ("user", "how is the weather")
    assert said(ask("in Rome", model, functions={"get_weather": False})) == phrases.NOT_UNDERSTOOD


def test_dice_and_coins_are_the_callers_rng() -> None:
    rolls = {said(ask("roll the dice", DemoModel(random.Random(seed)))) for seed in range(60)}
    assert rolls == {f"You rolled a {n}." for n in range(1, 7)}
    assert said(ask("flip a coin")) in {phrases.HEADS, phrases.TAILS}


def test_weather_is_a_tool_call_only_if_declared() -> None:
    declared = {"get_weather": False}
    assert ask("What is the weather in new york today?", functions=declared) == (
        CallFunction("get_weather", {"city": "New York"}),
    )
    model = DemoModel(random.Random(1))
    assert said(ask("how is the weather", model, functions=declared)) == phrases.WHICH_CITY
    assert ask("in Rome", model, functions=declared) == (CallFunction("get_weather", {"city": "Rome"}),)


def test_a_function_that_does_not_block_leaves_words() -> None:
    reply = ask("weather in Oslo", functions={"get_weather": True})
    assert reply == (CallFunction("get_weather", {"city": "Oslo"}), Say(phrases.LOOKING_UP))


def test_any_declared_function_can_be_tried() -> None:
    assert ask('call look_up {"q": "x"}', functions={"look_up": False}) == (CallFunction("look_up", {"q": "x"}),)
    assert said(ask("call look_up {broken}", functions={"look_up": False})) == phrases.TOOL_FAILED


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ({"output": {"temp_c": 21, "conditions": "sunny"}}, "It is 21 degrees and sunny."),
        ({"temperature": -3.5}, "It is -3.5 degrees."),
        ({"result": "mild"}, "The tool says: mild."),
        ({"output": {"wind_kmh": 5, "rain": []}}, "The tool says: wind kmh 5, rain nothing."),
        ({"error": "no network"}, phrases.TOOL_FAILED),
        ({}, "The tool says: nothing."),
    ],
)
def test_tool_results_are_told(response: dict[str, object], answer: str) -> None:
    assert said(ask(None, results=(FunctionResult("c1", "get_weather", response),))) == answer


def test_a_silent_tool_is_told_too() -> None:
    assert said(ask(None, unanswered=True)) == phrases.TOOL_SILENT


def test_a_voice_without_recognition_is_told_how_long_it_was() -> None:
    assert said(ask(None, voice_s=3.2)) == f"I heard you for 3 seconds, {phrases.NO_RECOGNITION}"


def test_pictures_are_described_honestly() -> None:
    seen = said(ask("what can you see?", pictures=2, picture_size=(640, 480)))
    assert seen == "I received a picture of 640 by 480 pixels. I have 2 pictures so far."
    assert "cannot read" in said(ask("what do you see", pictures=1))


def test_history_is_the_whole_state() -> None:
    first = DemoModel(random.Random(1))
    ask("My name is Ada", first)
    second = DemoModel(random.Random(2), first.history)
    assert said(ask("what is my name", second)) == "Your name is Ada."
    assert said(ask("what did I say", second)) == "You said: what is my name"
    assert said(ask("what is my name")) == phrases.NO_NAME


def test_an_open_question_is_taken_once() -> None:
    model = DemoModel(random.Random(1))
    model.remember([("user", "hi"), ("model", "hello"), ("user", "what time is it")])
    assert model.take_question() == "what time is it"
    assert model.take_question() is None


@given(st.text(max_size=80))
def test_every_text_has_an_answer(text: str) -> None:
    functions = {"get_weather": False, "a_b": True}
    assert ask(text, functions=functions)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("two plus 3 * 4", 14.0),
        ("a hundred and five divided by 5", 21.0),
        ("three thousand two hundred times two", 6400.0),
        ("seven minus ten", -3.0),
        ("1,000 + -5", 995.0),
        ("3.5 times 2", 7.0),
        ("twenty one plus one", 22.0),
        ("twenty-one plus one", 22.0),
    ],
)
def test_sums(text: str, value: float) -> None:
    found = find_sum(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize("text", ["my number is 5", "five minus", "x", "", "in 2 or 3 days", "twenty four seven"])
def test_what_is_no_sum(text: str) -> None:
    assert find_sum(text) is None


@given(st.integers(0, 999_999), st.integers(1, 999))
def test_sums_in_words_are_sums_in_digits(a: int, b: int) -> None:
    found = find_sum(f"what is {number_words(a)} plus {number_words(b)}")
    assert found is not None
    assert found.value == a + b


@given(st.integers(1, 12), st.integers(0, 59))
@pytest.mark.slow
def test_every_time_of_day_can_be_said(hour: int, minute: int) -> None:
    assert speech_pack().join(f"It is {hour}:{minute:02} in the evening.") is not None


def test_spoken_words() -> None:
    assert spoken_words("It is 10:05.") == "It is ten oh five."
    assert spoken_words("9:00 and -12.5") == "nine o'clock and minus twelve point five"
    assert key_of("It's  TEN, o'clock!") == "it's ten o'clock"


@given(st.integers(1, 50_000), st.lists(st.sampled_from(["a", "longer", "words."]), max_size=30))
def test_cutting_keeps_all_sound_and_all_words(samples: int, words: list[str]) -> None:
    text = " ".join(words)
    speech = cut(np.ones(samples, dtype=np.int16), text)
    assert len(speech.steps) == -(-samples // CHUNK_SAMPLES)
    shown = "".join(
        m.json["serverContent"]["outputTranscription"]["text"] for m, _ in speech.steps if m is not None
    )
    assert shown == text


def test_picture_sizes() -> None:
    jpeg = bytes.fromhex("ffd8 ffe0 0004 0000 ffc0 000b 08 01e0 0280 01 011100".replace(" ", ""))
    assert picture_size(jpeg) == (640, 480)
    assert picture_size(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes([0, 0, 1, 0, 0, 0, 0, 128])) == (256, 128)
    assert picture_size(b"nonsense") is None


@given(st.binary(max_size=60))
def test_a_broken_jpeg_has_no_size(tail: bytes) -> None:
    picture_size(b"\xff\xd8" + tail)
