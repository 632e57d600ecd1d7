"""What clients of OpenAI's API ask for, from the client's own events to what nobody should send."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.settings import Settings
from signaling.dialects.openai import commands as c
from signaling.dialects.openai.asked import COMMANDS, MAX_EVENT_CHARS, command_of, event_id_of, read_event
from signaling.dialects.openai.session import SessionWish, read_session, session_object

CAPTURED = Path(__file__).parents[2] / "data" / "openai" / "agents-realtime-0.20.0.jsonl"
"What the client sent over its data channel in one call."

UNCHANGED: dict[str, Any] = {
    "type": "realtime",
    "instructions": "",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
    },
    "tracing": "auto",
}


def test_what_the_client_sends_is_understood() -> None:
    lines = CAPTURED.read_text(encoding="utf-8").splitlines()
    asked = [command_of(read_event(line)) for line in lines]
    assert [type(each).__name__ for each in asked[:13]] == [
        "UpdateSession",
        "UpdateSession",
        "CreateMessage",
        "CreateResponse",
        "CreateOutput",
        "CreateResponse",
        "CreateMessage",
        "CreateResponse",
        "CancelResponse",
        "ClearOutput",
        "RetrieveItem",
        "CreateMessage",
        "CreateResponse",
    ]
    assert {type(each) for each in asked[13:]} == {c.DeleteItem}
    (session, _tracing) = (each.wish for each in asked if isinstance(each, c.UpdateSession))
    assert session.instructions == "Be brief."
    assert [tool.name for tool in session.tools or ()] == ["add_up"]
    assert session.settings == {"vad_silence_ms": 400}
    assert session.objections == ()
    pictures = [each.pictures for each in asked if isinstance(each, c.CreateMessage)]
    assert [(picture.mime_type, picture.width) for picture in pictures[-1]] == [("image/png", 1)]
    assert event_id_of(read_event(lines[3])) == "agents_js_response_create_1"


def test_a_session_that_nobody_changed_asks_for_nothing() -> None:
    assert read_session(UNCHANGED) == SessionWish(transcribes=True)
    assert read_session({}) == SessionWish()
    assert read_session(UNCHANGED).instructs() == []


@pytest.mark.parametrize(
    ("heard", "settings"),
    [
        ({"turn_detection": None}, {"vad": "off"}),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}, {"vad": "low"}),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": "auto"}}, {}),
        (
            {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 300, "silence_duration_ms": 500}},
            {"vad_prefix_ms": 300, "vad_silence_ms": 500},
        ),
        ({"turn_detection": {"type": "server_vad", "interrupt_response": False}}, {"barge_in": False}),
    ],
)
def test_turn_detection_becomes_settings(heard: dict[str, Any], settings: dict[str, Any]) -> None:
    wish = read_session({"audio": {"input": heard}})
    assert (wish.settings, wish.objections) == (settings, ())
    assert wish.instructs() == (["audio.input.turn_detection"] if settings else [])
    Settings(**settings)  # they are allowed


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "transcription"}, "type"),
        ({"output_modalities": ["text"]}, "output_modalities"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"instructions": 3}, "instructions"),
        ({"instructions": "x" * 40_000}, "instructions"),
        ({"tools": "all"}, "tools"),
        ({"tools": [{"type": "mcp", "server_url": "https://x.example"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "name": "no good"}]}, "tools[0]"),
        ({"tools": [{"name": "f"}, {"name": "f"}]}, "tools[1]"),
        ({"tools": [{"name": "f", "parameters": []}, 3]}, "tools[1]"),
        ({"audio": {"output": {"voice": "marin"}}}, "audio.output.voice"),
        ({"audio": {"output": {"voice": 3}}}, "audio.output.voice"),
        ({"audio": {"input": {"turn_detection": {"type": "magic"}}}}, "audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}}}},
            "audio.input.turn_detection.silence_duration_ms",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}},
            "audio.input.turn_detection.create_response",
        ),
    ],
)
def test_what_cannot_be_had_is_objected_to(session: dict[str, Any], param: str) -> None:
    assert [each.param for each in read_session(session).objections] == [param]


def test_a_client_is_told_its_session_and_not_the_operators_instructions() -> None:
    settings = Settings(system_instruction="A secret.", voice="Kore", vad="off")
    told = session_object("rtc_1", settings, instructions=None, tools=(), transcribes=False)
    assert "secret" not in json.dumps(told)
    assert told["audio"]["output"]["voice"] == "Kore"
    assert told["audio"]["input"] == {"transcription": None, "turn_detection": None}
    again = read_session(told)
    assert (again.settings, again.objections, again.tools) == ({"voice": "Kore", "vad": "off"}, (), ())


TEXT = [{"type": "input_text", "text": "x"}]
PICTURE = {"type": "input_image", "image_url": "https://x.example/x.png"}


def created(**item: Any) -> dict[str, Any]:
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": TEXT, **item},
    }


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (created(role="robot"), "invalid_item"),
        (created(content=[]), "invalid_item"),
        (created(content=[3]), "invalid_item"),
        (created(content=[{"type": "input_text", "text": "  "}]), "invalid_item"),
        (created(id=""), "invalid_item"),
        (created(id="x" * 65), "invalid_item"),
        (created(content=[{"type": "input_audio", "audio": "AA"}]), "audio_unsupported"),
        (created(content=[{"type": "video"}]), "content_unsupported"),
        (created(role="system", content=[PICTURE]), "content_unsupported"),
        (created(content=[PICTURE]), "invalid_image"),
        (created(content=[{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]), "invalid_image"),
        (created(content=[{"type": "input_image", "image_url": "data:image/png;base64,!"}]), "invalid_image"),
        (created(content=[{"type": "input_text", "text": "x" * 20_000}]), "item_too_long"),
        (created(type="function_call_output", call_id="c", output=3), "invalid_item"),
        (created(type="function_call_output", output="x"), "invalid_item"),
        (created(type="mcp_call"), "item_type_unsupported"),
        ({"type": "conversation.item.delete", "item_id": 3}, "invalid_item_id"),
        ({"type": "response.create", "response": []}, "invalid_response"),
        ({"type": "response.create", "response": {"instructions": 3}}, "invalid_response"),
        ({"type": "response.create", "response": {"input": []}}, "response_unsupported"),
        ({"type": "session.update", "session": None}, "invalid_session"),
        ({"type": ["session.update"]}, "unknown_event"),
        ({}, "unknown_event"),
    ],
)
def test_what_cannot_be_done_is_refused(event: dict[str, Any], code: str) -> None:
    with pytest.raises(c.RefusalError) as refused:
        command_of(read_event(json.dumps(event)))
    assert refused.value.code == code
    assert refused.value.words


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "[" * 500, "x" * (MAX_EVENT_CHARS + 1), b"{}"])
def test_what_is_no_event_is_refused(text: str | bytes) -> None:
    with pytest.raises(c.RefusalError):
        read_event(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(sorted(COMMANDS)),
    st.dictionaries(st.sampled_from(["item", "session", "response", "item_id", "event_id"]), JSON),
)
def test_anything_else_is_either_understood_or_refused(kind: str, fields: dict[str, Any]) -> None:
    event = read_event(json.dumps({**fields, "type": kind}))
    event_id_of(event)
    with suppress(c.RefusalError):
        command_of(event)
