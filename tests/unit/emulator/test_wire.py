"""The Live API's JSON, message by message; client frames as google-genai 3.4 was seen to send them."""

import contextlib
import json
from dataclasses import replace

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent.emulator.wire import incoming, outgoing
from agent.emulator.wire.incoming import Detection
from agent.emulator.wire.parse import FIELDS, WireError, parse, regular, words_of


def one(frame: str) -> incoming.ClientMessage:
    (message,) = parse(frame)
    return message


def setup_frame(fields: dict[str, object]) -> str:
    return json.dumps({"setup": {"model": "models/m", **fields}})


def setup(**fields: object) -> incoming.Setup:
    message = one(setup_frame(fields))
    assert isinstance(message, incoming.Setup)
    return message


def test_setup_with_every_default() -> None:
    plain = setup()
    assert (plain.model, plain.modality, plain.barge_in) == ("models/m", "AUDIO", True)
    assert not plain.resumable
    assert not plain.manual_activity
    assert plain.handle is None


def test_setup_in_the_sdks_mixed_case() -> None:
    full = setup(
        generationConfig={"responseModalities": ["TEXT"]},
        inputAudioTranscription={},
        sessionResumption={"handle": "h1"},
        realtimeInputConfig={
            "automatic_activity_detection": {"disabled": True, "silence_duration_ms": 300},
            "activity_handling": "NO_INTERRUPTION",
        },
        tools=[
            {"googleSearch": {}},
            {
                "functionDeclarations": [
                    {"name": "get_weather", "parameters_json_schema": {"snake_key": {}}},
                    {"name": "slow", "behavior": "NON_BLOCKING"},
                ]
            },
        ],
    )
    assert full.modality == "TEXT"
    assert full.transcribe_input
    assert not full.transcribe_output
    assert full.manual_activity
    assert full.detection.silence_ms == 300
    assert not full.barge_in
    assert full.handle == "h1"
    assert full.functions == {"get_weather": False, "slow": True}
    assert full.raw["tools"][1]["functionDeclarations"][0]["parametersJsonSchema"] == {"snake_key": {}}


@pytest.mark.parametrize(
    ("wanted", "detection"),
    [
        ({}, Detection(start_ms=200, start_readily=True, silence_ms=500)),
        ({"prefixPaddingMs": 20, "silenceDurationMs": 300}, Detection(20, start_readily=True, silence_ms=300)),
        (
            {"startOfSpeechSensitivity": "START_SENSITIVITY_LOW"},
            Detection(200, start_readily=False, silence_ms=500),
        ),
        ({"endOfSpeechSensitivity": "END_SENSITIVITY_LOW"}, Detection(200, start_readily=True, silence_ms=800)),
        (
            {"endOfSpeechSensitivity": "END_SENSITIVITY_LOW", "silenceDurationMs": 0},
            Detection(200, start_readily=True, silence_ms=0),
        ),
    ],
)
def test_how_speech_is_detected(wanted: dict[str, object], detection: Detection) -> None:
    assert setup(realtimeInputConfig={"automaticActivityDetection": wanted}).detection == detection


@pytest.mark.parametrize(
    "wanted",
    [
        {"prefixPaddingMs": -1},
        {"silenceDurationMs": 60_001},
        {"startOfSpeechSensitivity": "MEDIUM"},
        {"endOfSpeechSensitivity": "START_SENSITIVITY_LOW"},
    ],
)
def test_detection_that_makes_no_sense_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(WireError) as refused:
        setup(realtimeInputConfig={"automaticActivityDetection": wanted})
    assert refused.value.code == 1007


@pytest.mark.parametrize("model", ["", "models/", "  ", None, 3])
def test_setup_without_a_model_is_refused(model: object) -> None:
    with pytest.raises(WireError) as refused:
        parse(json.dumps({"setup": {"model": model}}))
    assert refused.value.code == 1007


def test_audio_comes_in_url_safe_base64() -> None:
    frame = '{"realtime_input": {"audio": {"data": "-__-AA==", "mime_type": "audio/pcm;rate=16000"}}}'
    assert one(frame) == incoming.Audio(b"\xfb\xff\xfe\x00", 16_000)
    assert one(frame.replace("-__-", "+//+")) == incoming.Audio(b"\xfb\xff\xfe\x00", 16_000)


def test_deprecated_media_chunks_still_come_in() -> None:
    frame = '{"realtime_input": {"mediaChunks": [{"data": "AAE=", "mime_type": "audio/pcm;rate=16000"}]}}'
    assert one(frame) == incoming.Audio(b"\x00\x01", 16_000)


@pytest.mark.parametrize("mime", ["", "audio/pcm", "audio/pcm;rate=", "audio/pcm;rate=96000", "audio/ogg"])
def test_audio_of_an_odd_kind_is_refused(mime: str) -> None:
    with pytest.raises(WireError):
        parse(json.dumps({"realtime_input": {"audio": {"data": "AAE=", "mime_type": mime}}}))


@pytest.mark.parametrize("data", ["A", "!!!!", "AA=="])
def test_broken_audio_data_is_refused(data: str) -> None:
    with pytest.raises(WireError):
        parse(json.dumps({"realtime_input": {"audio": {"data": data, "mime_type": "audio/pcm;rate=16000"}}}))


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"text": "hello"}, incoming.Text("hello")),
        ({"activityStart": {}}, incoming.ActivityStarted()),
        ({"activityEnd": {}}, incoming.ActivityEnded()),
        ({"audioStreamEnd": True}, incoming.AudioStreamEnded()),
        (
            {"video": {"data": "_9j_2Q==", "mime_type": "image/jpeg"}},
            incoming.Picture(b"\xff\xd8\xff\xd9", "image/jpeg"),
        ),
    ],
)
def test_realtime_input(body: object, wanted: incoming.ClientMessage) -> None:
    assert one(json.dumps({"realtime_input": body})) == wanted


def test_client_content_with_history_and_a_picture() -> None:
    turns = [
        {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"data": "__79", "mime_type": "image/jpeg"}}]},
        {"role": "model", "parts": [{"text": "hello"}]},
    ]
    content = one(json.dumps({"client_content": {"turns": turns, "turnComplete": False}}))
    assert isinstance(content, incoming.Content)
    assert content.turns == (("user", "hi"), ("model", "hello"))
    assert not content.turn_complete
    assert content.pictures == (incoming.Picture(b"\xff\xfe\xfd", "image/jpeg"),)


def test_tool_response_keeps_the_applications_keys() -> None:
    sent = {
        "id": "c1",
        "name": "x",
        "will_continue": True,
        "scheduling": "SILENT",
        "response": {"temp_c": {"a_b": 1}},
    }
    response = one(json.dumps({"tool_response": {"functionResponses": [sent]}}))
    assert response == incoming.ToolResponse(
        (incoming.FunctionResult("c1", "x", {"temp_c": {"a_b": 1}}, True, "SILENT"),)
    )


@pytest.mark.parametrize(
    ("scheduling", "meant"),
    [(None, "WHEN_IDLE"), ("SCHEDULING_UNSPECIFIED", "WHEN_IDLE"), ("INTERRUPT", "INTERRUPT")],
)
def test_an_answer_is_spoken_of_when_the_model_is_idle_unless_told_otherwise(
    scheduling: str | None, meant: str
) -> None:
    response = one(json.dumps({"tool_response": {"functionResponses": [{"id": "c1", "scheduling": scheduling}]}}))
    assert isinstance(response, incoming.ToolResponse)
    assert response.results[0].scheduling == meant


@pytest.mark.parametrize("scheduling", ["IMMEDIATE", 3, ["SILENT"]])
def test_an_unknown_scheduling_is_refused(scheduling: object) -> None:
    with pytest.raises(WireError):
        one(json.dumps({"tool_response": {"functionResponses": [{"id": "c1", "scheduling": scheduling}]}}))


def test_context_update_replaces_or_clears_tools() -> None:
    declared = {"tools": {"tools": [{"functionDeclarations": [{"name": "a"}]}]}}
    assert one(json.dumps({"contextUpdate": declared})) == incoming.ContextUpdate({"a": False})
    assert one('{"contextUpdate": {"tools": {"tools": []}}}') == incoming.ContextUpdate({})
    told = '{"contextUpdate": {"systemInstruction": {"parts": [{"text": "Be brief."}]}}}'
    assert one(told) == incoming.ContextUpdate(None, "Be brief.")


@pytest.mark.parametrize("frame", ["", "nonsense", "[]", "3", '{"brandNew": {}}', '{"setup": 3}', b"\xff\xfe"])
def test_what_is_no_client_message_is_refused(frame: str | bytes) -> None:
    with pytest.raises(WireError) as refused:
        parse(frame)
    assert refused.value.code == 1007


KEYS = (
    *("setup", "model", "generationConfig", "responseModalities", "tools", "functionDeclarations", "name"),
    *("realtimeInputConfig", "automaticActivityDetection", "prefixPaddingMs", "silenceDurationMs", "disabled"),
    *("sessionResumption", "handle", "historyConfig", "systemInstruction", "realtime_input", "audio", "video"),
    *("mediaChunks", "data", "mime_type", "text", "clientContent", "turns", "role", "parts", "inlineData"),
    *("tool_response", "functionResponses", "id", "response", "scheduling", "contextUpdate"),
)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["models/m", "AUDIO", "user", "AAE=", "image/png", "audio/pcm;rate=16000", "1e9"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_any_json_is_parsed_or_refused_but_never_fails(value: object) -> None:
    with contextlib.suppress(WireError):
        parse(json.dumps(value))


BODY = st.dictionaries(st.sampled_from(KEYS), _json, max_size=5)


@given(st.sampled_from(sorted(FIELDS)), BODY)
def test_any_body_of_a_message_is_parsed_or_refused_but_never_fails(name: str, body: dict[str, object]) -> None:
    known = {key: value for key, value in body.items() if regular({key: 0}).keys() <= set(FIELDS[name])}
    with contextlib.suppress(WireError):
        parse(json.dumps({name: known}))


@pytest.mark.parametrize(
    "frame",
    [
        '{"setup": {"model": "models/m"}, "clientContent": {"turnComplete": true}}',
        '{"setup": {"model": "models/m", "brandNew": 1}}',
        '{"setup": {"model": "models/m", "sessionResumption": {"handle": ["h"]}}}',
        setup_frame({"realtimeInputConfig": {"automaticActivityDetection": {"prefixPaddingMs": "x"}}}),
        setup_frame({"realtimeInputConfig": {"automaticActivityDetection": {"prefixPaddingMs": 7.0}}}).replace(
            "7.0", "1e999"
        ),
        '{"setup": {"model": "models/m", "tools": [{"functionDeclarations": [{"name": 3}]}]}}',
        '{"realtimeInput": {"text": 3}}',
        '{"realtimeInput": {"brandNew": {}}}',
        '{"realtimeInput": {"audio": {"data": "AAE=", "mimeType": "image/png"}}}',
        '{"realtimeInput": {"video": {"data": "AAE=", "mimeType": "audio/pcm;rate=16000"}}}',
        '{"realtimeInput": {"audio": {"data": "AAE=", "mimeType": "audio/pcm;rate=' + "1" * 5000 + '"}}}',
        '{"clientContent": {"turns": [{"role": "system", "parts": [{"text": "hi"}]}]}}',
        '{"toolResponse": {"functionResponses": [{"id": "c1", "response": {"a": NaN}}]}}',
        '{"toolResponse": {"functionResponses": [{"response": ' + '{"a":' * 200 + "1" + "}" * 200 + "}]}}",
        '{"setup": ' + "[" * 600 + "]" * 600 + "}",
        '{"setup": ' + "[" * 100_000,
    ],
)
def test_what_google_refuses_closes_the_session_and_nothing_worse(frame: str) -> None:
    with pytest.raises(WireError) as refused:
        parse(frame)
    assert refused.value.code == 1007


def test_a_field_that_is_null_has_its_default() -> None:
    nothing = setup(realtimeInputConfig=None, generationConfig=None, historyConfig=None, tools=None)
    assert nothing == replace(setup(), raw=nothing.raw)
    assert setup(realtimeInputConfig={"automaticActivityDetection": None}).detection == Detection()


def test_the_sdks_fields_are_known() -> None:
    sent: dict[str, type[BaseModel]] = {
        "setup": types.LiveClientSetup,
        "realtimeInput": types.LiveClientRealtimeInput,
        "clientContent": types.LiveClientContent,
        "toolResponse": types.LiveClientToolResponse,
    }
    for name, kind in sent.items():
        assert {field.alias or key for key, field in kind.model_fields.items()} <= set(FIELDS[name])
    assert {field.alias or key for key, field in types.LiveClientMessage.model_fields.items()} <= set(FIELDS)


def test_server_messages_look_like_googles() -> None:
    assert outgoing.audio(b"\x01\x00").json == {
        "serverContent": {
            "modelTurn": {
                "role": "model",
                "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AQA="}}],
            }
        }
    }
    assert outgoing.go_away(9.5).json == {"goAway": {"timeLeft": "9.5s"}}
    assert outgoing.go_away(1_000_000).json == {"goAway": {"timeLeft": "1000000s"}}
    assert outgoing.go_away(0).json == {"goAway": {"timeLeft": "0s"}}
    assert outgoing.resumption_update("H").json == {
        "sessionResumptionUpdate": {"newHandle": "H", "resumable": True}
    }
    assert outgoing.turn_complete(outgoing.usage({"AUDIO": 10, "TEXT": 0}, {"AUDIO": 20})).json[
        "usageMetadata"
    ] == {
        "promptTokenCount": 10,
        "responseTokenCount": 20,
        "totalTokenCount": 30,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
    }


def test_vertex_names_the_answers_tokens_differently() -> None:
    assert outgoing.usage({"AUDIO": 10}, {"AUDIO": 20}, vertex=True) == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 20,
        "totalTokenCount": 30,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
    }


@pytest.mark.parametrize(
    "frame",
    [
        r'{"realtimeInput": {"text": "half \ud83d"}}',
        r'{"clientContent": {"turns": [{"parts": [{"text": "\ude00 half"}]}]}}',
        r'{"toolResponse": {"functionResponses": [{"id": "c1", "response": {"a": [{"\ud83d": 1}]}}]}}',
        r'{"setup": {"model": "models/m", "systemInstruction": {"parts": [{"text": "\ud83d"}]}}}',
        b'{"realtimeInput": {"text": "\xed\xa0\xbd"}}',  # the same as bytes
        b'{"realtimeInput": {"text": "\xff"}}',
    ],
)
def test_text_that_is_not_unicode_is_refused(frame: str | bytes) -> None:
    with pytest.raises(WireError) as refused:
        parse(frame)
    assert refused.value.code == 1007


def test_a_whole_pair_is_text_however_it_is_written() -> None:
    for frame in (r'{"realtimeInput": {"text": "\ud83d\ude00"}}', '{"realtimeInput": {"text": "😀"}}'.encode()):
        assert parse(frame) == (incoming.Text("😀"),)


def test_the_words_of_a_message_are_all_that_the_model_reads() -> None:
    assert words_of(one('{"realtimeInput": {"text": "a"}}')) == "a"
    content = one('{"clientContent": {"turns": [{"parts": [{"text": "a"}]}, {"parts": [{"text": "b"}]}]}}')
    assert words_of(content) == "a\nb"
    result = '{"toolResponse": {"functionResponses": [{"id": "c1", "name": "x", "response": {"output": "a"}}]}}'
    assert words_of(one(result)) == '[{"output": "a"}]'
    assert "be kind" in words_of(setup(systemInstruction={"parts": [{"text": "be kind"}]}))
    assert words_of(one('{"realtimeInput": {"activityStart": {}}}')) == ""


def test_a_functions_response_may_carry_pictures_and_nothing_else() -> None:
    def response(mime: str) -> str:
        part = {"inline_data": {"mime_type": mime, "data": "_wA="}}
        return json.dumps({"tool_response": {"functionResponses": [{"id": "1", "name": "x", "parts": [part]}]}})

    answered = one(response("image/png"))
    assert isinstance(answered, incoming.ToolResponse)
    assert answered.results[0].pictures == (incoming.Picture(b"\xff\x00", "image/png"),)
    with pytest.raises(WireError, match="images"):
        parse(response("audio/pcm"))
