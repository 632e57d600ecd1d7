"""Recorded messages of the Live server, parsed by the real SDK, become facts in the order to act on them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.genai import _live_converters as live_converters
from google.genai import types

from agent.events import AgentThought, CodeRan, CodeWritten, Source, SourcesFound, TimedWord
from agent.live.wire import (
    Fact,
    GenerationComplete,
    GoAway,
    InputTranscript,
    Interrupted,
    OutputTranscript,
    Resumable,
    Speech,
    Text,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    Usage,
    facts,
)
from agent.picture import Picture

# The SDK keeps an enum value that it does not know, and warns.
pytestmark = pytest.mark.filterwarnings("ignore:.* is not a valid:UserWarning")

PCM = b"\x01\x00\x02\x00"


def read(message: dict[str, Any]) -> list[Fact]:
    """Parse as `AsyncSession.receive` does after the socket: fields that the SDK does not know are dropped."""
    known = live_converters._LiveServerMessage_from_mldev(message)
    return list(facts(types.LiveServerMessage._from_response(response=known, kwargs={})))


def content(**fields: Any) -> dict[str, Any]:
    return {"serverContent": fields}


def audio(pcm: bytes = PCM, mime_type: str = "audio/pcm;rate=24000") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(pcm).decode()}}


def turn(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


@pytest.mark.parametrize(
    ("mime_type", "expected"),
    [
        ("image/png", [Picture(b"png", "image/png")]),
        ("IMAGE/JPEG; q=1", [Picture(b"png", "image/jpeg")]),
        ("image/webp;x=1", [Picture(b"png", "image/webp")]),
        ("video/mp4", []),
    ],
)
def test_a_picture_of_the_model(mime_type: str, expected: list[Fact]) -> None:
    assert read(content(modelTurn=turn(audio(b"png", mime_type)))) == expected


def test_pictures_speech_and_words_come_in_order() -> None:
    parts = (audio(b"one", "image/png"), audio(), {"text": "two"}, audio(b"three", "image/gif"))
    assert read(content(modelTurn=turn(*parts))) == [
        *(Picture(b"one", "image/png"), Speech(PCM, 24_000), Text("two"), Picture(b"three", "image/gif"))
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (content(modelTurn=turn(audio())), [Speech(PCM, 24_000)]),
        (content(modelTurn={"parts": [{"text": "hi"}]}), [Text("hi")]),
        (content(interrupted=True), [Interrupted()]),
        (content(generationComplete=True), [GenerationComplete()]),
        (content(turnComplete=True), [TurnComplete(None)]),
        (content(turnComplete=True, turnCompleteReason="NEED_MORE_INPUT"), [TurnComplete("NEED_MORE_INPUT")]),
        (content(turnComplete=True, interactionStatus="IN_PROGRESS"), [TurnComplete(None)]),
        (content(outputTranscription={"text": "It is noon."}), [OutputTranscript("It is noon.")]),
        (content(outputTranscription={"finished": True}), []),
        (
            content(inputTranscription={"text": "what time", "finished": False, "languageCode": "en-US"}),
            [InputTranscript("what time", finished=False)],
        ),
        ({"goAway": {"timeLeft": "9.5s"}}, [GoAway(9.5)]),
        ({"toolCallCancellation": {"ids": ["c1", "c2"]}}, [ToolCallsCancelled(("c1", "c2"))]),
        (
            {
                "toolCall": {
                    "functionCalls": [
                        {"id": "c1", "name": "get_weather", "args": {"city": "Rome"}},
                        {"id": "c2", "name": "x"},
                    ]
                }
            },
            [ToolCall("c1", "get_weather", {"city": "Rome"}), ToolCall("c2", "x", {})],
        ),
    ],
)
def test_a_golden_message_becomes_its_fact(message: dict[str, Any], expected: list[Fact]) -> None:
    assert read(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"setupComplete": {"sessionId": "s1"}},
        content(),
        content(turnComplete=False),
        content(interrupted=False, generationComplete=False),
        content(waitingForInput=True),
        content(interactionStatus="IDLE"),
        content(modelTurn={"role": "model"}),
        content(modelTurn=turn({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}})),
        content(modelTurn=turn({"inlineData": {"mimeType": "audio/pcm", "data": ""}})),
        content(interimInputTranscription={"text": "what ti"}),
        content(outputTranscription={}),
        content(groundingMetadata={"searchEntryPoint": {"renderedContent": "<b>x</b>"}}),
        content(groundingMetadata={"groundingChunks": [{"web": {"uri": "javascript:alert(1)", "title": "Rome"}}]}),
        content(groundingMetadata={"groundingChunks": [{"retrievedContext": {"uri": "https://rome.example/"}}]}),
        {"voiceActivity": {"type": "NEW_TYPE", "audioOffset": "1.5s"}},
        {"toolCall": {}},
    ],
)
def test_what_this_service_has_no_use_for_is_passed_over(message: dict[str, Any]) -> None:
    assert read(message) == []


@pytest.mark.parametrize(
    ("update", "handle"),
    [
        ({"newHandle": "H-2", "resumable": True}, "H-2"),
        ({"newHandle": "", "resumable": False}, None),
        ({"resumable": True}, None),
        ({"newHandle": "H-2"}, None),
    ],
)
def test_a_handle_counts_only_if_the_session_is_resumable(update: dict[str, Any], handle: str | None) -> None:
    assert read({"sessionResumptionUpdate": update}) == [Resumable(handle)]


def test_sources_are_told_once_each_and_only_if_a_browser_may_open_them() -> None:
    chunks = [
        {"web": {"uri": "https://rome.example/a", "title": "Rome"}},
        {"web": {"uri": "data:text/html,hi", "title": "No"}},
        {"web": {"uri": "https://rome.example/a", "title": "Rome again"}},
        {"web": {"uri": "http://plain.example/"}},
        {"web": {"uri": "https://long.example/" + "x" * 2000}},
        {},
    ]
    message = content(groundingMetadata={"groundingChunks": chunks, "webSearchQueries": ["rome weather"]})
    assert read(message) == [
        SourcesFound(
            ("rome weather",),
            (Source("Rome", "https://rome.example/a"), Source("http://plain.example/", "http://plain.example/")),
        )
    ]


def test_thoughts_and_programs_are_told_apart_from_what_is_said() -> None:
    parts = (
        {"text": "**Adding**", "thought": True, "thoughtSignature": "QUJD"},
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_DEADLINE_EXCEEDED", "output": "1"}},
        {"text": "One."},
    )
    assert read(content(modelTurn=turn(*parts))) == [
        AgentThought("**Adding**"),
        CodeWritten("python", "print(1)"),
        CodeRan("deadline_exceeded", "1"),
        Text("One."),
    ]


def test_the_times_of_words_are_handed_on() -> None:
    words = [{"word": "hello", "startOffset": "0.5s", "endOffset": "0.9s"}, {"word": "there", "startOffset": "odd"}]
    heard = {"text": "hello there", "words": words}
    assert read(content(inputTranscription=heard)) == [
        InputTranscript(
            "hello there", finished=False, words=(TimedWord("hello", 0.5, 0.9), TimedWord("there", None, None))
        )
    ]


def test_all_parts_of_a_message_are_read() -> None:
    message = content(modelTurn=turn(audio(b"\x01\x00"), {"text": "and"}, audio(b"\x02\x00"), audio(b"\x03\x00")))
    assert read(message) == [
        Speech(b"\x01\x00", 24_000),
        Text("and"),
        Speech(b"\x02\x00", 24_000),
        Speech(b"\x03\x00", 24_000),
    ]


def test_an_interruption_comes_before_audio_of_the_same_message() -> None:
    assert read(content(modelTurn=turn(audio()), interrupted=True)) == [Interrupted(), Speech(PCM, 24_000)]


def test_the_words_of_a_message_come_before_its_audio() -> None:
    """A fragment counts as heard once voice beyond it was sent, so it has to be there first."""
    message = content(modelTurn=turn(audio()), outputTranscription={"text": "noon"})
    assert read(message) == [OutputTranscript("noon"), Speech(PCM, 24_000)]


def test_everything_at_once_ends_with_the_turn() -> None:
    message = {
        "serverContent": {
            "turnComplete": True,
            "generationComplete": True,
            "modelTurn": turn(audio()),
            "outputTranscription": {"text": "a"},
            "inputTranscription": {"text": "b", "finished": True},
            "interrupted": True,
        },
        "toolCall": {"functionCalls": [{"id": "c1", "name": "x"}]},
        "goAway": {"timeLeft": "3s"},
        "usageMetadata": {"totalTokenCount": 6},
    }
    assert read(message) == [
        Interrupted(),
        InputTranscript("b", finished=True),
        OutputTranscript("a"),
        Speech(PCM, 24_000),
        GenerationComplete(),
        ToolCall("c1", "x", {}),
        GoAway(3.0),
        Usage({}, {}),
        TurnComplete(None),
    ]


@pytest.mark.parametrize(
    ("mime_type", "rate_hz"),
    [
        ("audio/pcm", 24_000),
        ("audio/pcm;rate=24000", 24_000),
        ("audio/pcm; rate=16000", 16_000),
        ("audio/pcm;channels=1;rate=48000", 48_000),
        ("audio/pcm;rate=8000;channels=1", 8_000),
        ("audio/pcm;rate=", 24_000),
        ("audio/pcm;rate=fast", 24_000),
        ("audio/pcm;rate=0", 24_000),
    ],
)
def test_the_rate_is_the_one_that_the_mime_type_names(mime_type: str, rate_hz: int) -> None:
    assert read(content(modelTurn=turn(audio(mime_type=mime_type)))) == [Speech(PCM, rate_hz)]


def test_another_parameter_that_ends_in_rate_is_not_the_rate() -> None:
    message = content(modelTurn=turn(audio(mime_type="audio/pcm;bitrate=384000;rate=24000")))
    assert read(message) == [Speech(PCM, 24_000)]


def test_a_rate_is_never_read_by_half() -> None:
    """1.6 MHz is nobody's voice; its first six digits are a rate that would be played."""
    message = content(modelTurn=turn(audio(mime_type="audio/pcm;rate=1600000")))
    assert read(message) != [Speech(PCM, 160_000)]


@pytest.mark.parametrize("data", ["+/+/", "-_-_"])
def test_both_base64_alphabets_are_read(data: str) -> None:
    message = content(modelTurn=turn({"inlineData": {"mimeType": "audio/pcm", "data": data}}))
    assert read(message) == [Speech(b"\xfb\xff\xbf", 24_000)]


@pytest.mark.parametrize(
    ("time_left", "seconds"),
    [
        ("9.5s", 9.5),
        ("50s", 50.0),
        (" 3s ", 3.0),
        ("soon", None),
        ("", None),
        ("-1s", None),
        (None, None),
        (f"{'9' * 400}s", None),
    ],
)
def test_the_time_left_is_seconds_or_unknown(time_left: str | None, seconds: float | None) -> None:
    assert read({"goAway": {"timeLeft": time_left}}) == [GoAway(seconds)]


def details(**tokens: int) -> list[dict[str, Any]]:
    return [{"modality": modality, "tokenCount": count} for modality, count in tokens.items()]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {
                "promptTokenCount": 10,
                "responseTokenCount": 20,
                "totalTokenCount": 30,
                "promptTokensDetails": details(TEXT=4, AUDIO=6),
                "responseTokensDetails": details(AUDIO=20),
            },
            Usage({"TEXT": 4, "AUDIO": 6}, {"AUDIO": 20}),
        ),
        (  # as the real service counts: the prompt's breakdown lacks 25, the total lacks the thoughts
            {
                "promptTokenCount": 522,
                "responseTokenCount": 42,
                "totalTokenCount": 564,
                "promptTokensDetails": details(TEXT=332, AUDIO=165),
                "responseTokensDetails": details(AUDIO=42),
                "thoughtsTokenCount": 136,
            },
            Usage({"TEXT": 332, "AUDIO": 165, "UNKNOWN": 25}, {"AUDIO": 42}, thoughts_tokens=136),
        ),
        (
            {"promptTokenCount": 1, "toolUsePromptTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 6},
            Usage({"UNKNOWN": 1}, {}, thoughts_tokens=3, tool_use_tokens=2),
        ),
        ({"promptTokensDetails": details(VIDEO=258)}, Usage({"VIDEO": 258}, {})),
        ({"promptTokenCount": 5, "promptTokensDetails": details(AUDIO=7, TEXT=0)}, Usage({"AUDIO": 7}, {})),
        (
            {
                "promptTokensDetails": [
                    {"tokenCount": 3},
                    {"modality": "SMELL", "tokenCount": 2},
                    {"modality": "TEXT"},
                ]
            },
            Usage({"UNKNOWN": 3, "SMELL": 2}, {}),
        ),
        ({"serviceTier": "standard"}, Usage({}, {})),
    ],
)
def test_usage_is_tokens_by_modality(metadata: dict[str, Any], expected: Usage) -> None:
    assert read({"usageMetadata": metadata}) == [expected]


def test_counts_that_none_can_be_are_not_believed() -> None:
    """10 ** 400 tokens cost more than a float holds, and less than none would be paid back."""
    metadata = {
        "promptTokenCount": 10**400,
        "responseTokensDetails": details(AUDIO=-7, TEXT=2**40),
        "thoughtsTokenCount": -1,
        "totalTokenCount": 2**31,
    }
    most = 2**31 - 1
    expected = Usage({"UNKNOWN": most}, {"TEXT": most})
    assert read({"usageMetadata": metadata}) == [expected]


def test_usage_of_vertex_has_other_names_on_the_wire() -> None:
    message = {
        "usageMetadata": {
            "promptTokenCount": 10,
            "candidatesTokenCount": 20,
            "promptTokensDetails": details(AUDIO=10),
            "candidatesTokensDetails": details(AUDIO=20),
        }
    }
    known = live_converters._LiveServerMessage_from_vertex(message)
    parsed = types.LiveServerMessage._from_response(response=known, kwargs={})
    assert list(facts(parsed)) == [Usage({"AUDIO": 10}, {"AUDIO": 20})]


def test_what_a_turn_cost_comes_before_its_end() -> None:
    message = {**content(turnComplete=True), "usageMetadata": {"responseTokenCount": 1}}
    assert read(message) == [Usage({}, {"UNKNOWN": 1}), TurnComplete(None)]


def test_unknown_fields_and_values_change_nothing() -> None:
    message = {
        "brandNewTop": {"a": 1},
        "serverContent": {
            "brandNew": 1,
            "modelTurn": {"parts": [{"text": "a", "newPart": 1}], "newRole": 2},
            "interactionStatus": "SOMETHING_NEW",
        },
    }
    assert read(message) == [Text("a")]


def test_an_unknown_reason_is_handed_on_as_it_is() -> None:
    assert read(content(turnComplete=True, turnCompleteReason="BRAND_NEW")) == [TurnComplete("BRAND_NEW")]


def test_no_word_or_argument_shows_in_a_facts_repr() -> None:
    """Facts may reach a log; what people say must not."""
    message = {
        "serverContent": {
            "modelTurn": turn(
                {"text": "secret"},
                {"text": "secret", "thought": True},
                {"executableCode": {"language": "PYTHON", "code": "secret"}},
                audio(b"secret"),
            ),
            "inputTranscription": {"text": "secret", "words": [{"word": "secret"}]},
            "groundingMetadata": {"webSearchQueries": ["secret"]},
            "outputTranscription": {"text": "secret"},
        },
        "toolCall": {"functionCalls": [{"id": "c1", "name": "x", "args": {"pin": "secret"}}]},
    }
    assert "secret" not in repr(read(message))


def test_what_the_server_says_is_made_valid_unicode() -> None:
    half, whole = "half \ud83d", "half \ufffd"
    found = read(
        {
            "serverContent": {
                "inputTranscription": {"text": half},
                "outputTranscription": {"text": half},
                "modelTurn": {"parts": [{"text": half}, {"text": half, "thought": True}]},
            },
            "toolCall": {"functionCalls": [{"id": "c1", "name": "book", "args": {half: [half]}}]},
        }
    )
    assert found == [
        InputTranscript(whole, finished=False),
        OutputTranscript(whole),
        Text(whole),
        AgentThought(whole),
        ToolCall("c1", "book", {whole: [whole]}),
    ]
