"""Every event becomes RTVI messages, and a client can send nothing but RTVI messages."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from signaling.dialects.rtvi import _message, _parse, rtvi_messages

TOOL = {"tool_call_id": "c1", "function_name": "get_weather"}
FULL, MASKED = events.ToolReport("full"), events.ToolReport("full", frozenset({"pin"}))


def ended(outcome: str) -> dict[str, Any]:
    return {"cancelled": outcome == "cancelled", "outcome": outcome}


EXAMPLES: list[tuple[events.Event, list[tuple[str, dict[str, Any] | None]]]] = [
    (events.AgentReady("gemini-live-x", offline_demo=False), []),
    (
        events.CallSetUp(events.SetUpStages(9.5, 60.2, 0.0)),
        [
            (
                "server-message",
                {
                    "type": "call-set-up",
                    "stages": {"answer_ms": 9.5, "media_ms": 60.2, "agent_ms": 0.0, "first_audio_ms": None},
                },
            )
        ],
    ),
    (
        events.QualityEstimated(4.35, None, 0.0, None, 2.5, None, 40.0),
        [
            (
                "server-message",
                {
                    "type": "quality-estimated",
                    "mos_in": 4.35,
                    "mos_out": None,
                    "loss_in_percent": 0.0,
                    "loss_out_percent": None,
                    "jitter_in_ms": 2.5,
                    "jitter_out_ms": None,
                    "rtt_ms": 40.0,
                },
            )
        ],
    ),
    (events.AgentFirstHeard(810.5), []),
    (events.VoiceFlushed(12.5), []),
    (
        events.AgentStateChanged("thinking"),
        [("server-message", {"type": "agent-state", "state": "thinking"})],
    ),
    (events.CallerStartedSpeaking(), [("user-started-speaking", None)]),
    (events.CallerStoppedSpeaking(), [("user-stopped-speaking", None)]),
    (events.AgentStartedSpeaking(1), [("bot-started-speaking", None)]),
    (events.AgentStoppedSpeaking(1), [("bot-stopped-speaking", None)]),
    (
        events.AgentResponded(1, 640, typed=False, stages=events.Stages(0.6, 512.9, 125.7, 0.0, 0.8)),
        [
            (
                "server-message",
                {
                    "type": "agent-responded",
                    "generation": 1,
                    "response_ms": 640,
                    "typed": False,
                    "stages": {
                        "uplink_ms": 0.6,
                        "model_ms": 512.9,
                        "tools_ms": 125.7,
                        "voice_ms": 0.0,
                        "downlink_ms": 0.8,
                    },
                },
            )
        ],
    ),
    (events.GenerationStarted(1), [("bot-llm-started", None)]),
    (events.GenerationCompleted(1), [("bot-llm-stopped", None)]),
    (events.TurnCompleted(1, "NEED_MORE_INPUT"), []),
    (events.AgentInterrupted(1, 24_000, 47), [("bot-interrupted", {"heard_ms": 1000, "dropped_ms": 1})]),
    (
        events.AgentTranscribed("t2", 3, "It is noon.", final=False),
        [
            (
                "bot-output",
                {
                    "text": "It is noon.",
                    "segment_id": "t2",
                    "revision": 3,
                    "output_type": "turn",
                    "aggregated_by": "turn",
                    "will_be_spoken": True,
                    "spoken_status": "in-progress",
                    "interrupted": False,
                    "unheard_text": "",
                    "estimated": False,
                },
            )
        ],
    ),
    (
        events.AgentTranscribed("t2", 4, "It is", final=True, interrupted=True, unheard_text="noon."),
        [
            (
                "bot-output",
                {
                    "text": "It is",
                    "segment_id": "t2",
                    "revision": 4,
                    "output_type": "turn",
                    "aggregated_by": "turn",
                    "will_be_spoken": True,
                    "spoken_status": "completed",
                    "interrupted": True,
                    "unheard_text": "noon.",
                    "estimated": False,
                },
            ),
            ("bot-transcription", {"text": "It is"}),
        ],
    ),
    (
        events.ToolCalled("c1", "get_weather", {"city": "Rome"}, FULL),
        [
            ("llm-function-call-started", {"function_name": "get_weather"}),
            ("llm-function-call-in-progress", {**TOOL, "arguments": {"city": "Rome"}}),
        ],
    ),
    (
        events.ToolFinished("c1", "get_weather", "result", {"output": 21}, FULL),
        [("llm-function-call-stopped", {**TOOL, **ended("result"), "result": {"output": 21}})],
    ),
    (
        events.ToolFinished("c1", "get_weather", "timeout", {"error": "too slow"}, FULL),
        [("llm-function-call-stopped", {**TOOL, **ended("timeout"), "result": {"error": "too slow"}})],
    ),
    (
        events.ToolFinished("c1", "get_weather", "cancelled", None, FULL),
        [("llm-function-call-stopped", {**TOOL, **ended("cancelled"), "result": None})],
    ),
    (
        events.ToolCalled("c1", "get_weather", {"city": "Rome"}),
        [("llm-function-call-started", {"function_name": "get_weather"}), ("llm-function-call-in-progress", TOOL)],
    ),
    (
        events.ToolFinished("c1", "get_weather", "error", {"error": "no such city: Rome"}),
        [("llm-function-call-stopped", {**TOOL, **ended("error")})],
    ),
    (
        events.ToolCalled("get_weather#3", "get_weather", {"city": "Rome"}, events.ToolReport("none")),
        [("llm-function-call-started", {}), ("llm-function-call-in-progress", {"tool_call_id": "call#3"})],
    ),
    (
        events.ToolFinished("get_weather#3", "get_weather", "result", {"output": 21}, events.ToolReport("none")),
        [("llm-function-call-stopped", {"tool_call_id": "call#3", "cancelled": False})],
    ),
    (
        events.ToolCalled("c1", "get_weather", {"city": "Rome", "pin": 1234}, MASKED),
        [
            ("llm-function-call-started", {"function_name": "get_weather"}),
            ("llm-function-call-in-progress", {**TOOL, "arguments": {"city": "Rome", "pin": "***"}}),
        ],
    ),
    (
        events.ToolFinished("c1", "get_weather", "result", {"output": [{"Pin": 1234}]}, MASKED),
        [("llm-function-call-stopped", {**TOOL, **ended("result"), "result": {"output": [{"Pin": "***"}]}})],
    ),
    (
        events.AppEventSent("booked", {"at": 9}),
        [("server-message", {"type": "app-event", "name": "booked", "data": {"at": 9}})],
    ),
    (
        events.PictureSent("camera", 640, 480, 12_345),
        [
            (
                "server-message",
                {"type": "picture-sent", "source": "camera", "width": 640, "height": 480, "bytes": 12_345},
            )
        ],
    ),
    (events.SessionEnding(9.5), [("server-message", {"type": "session-ending", "time_left_s": 9.5})]),
    (
        events.SessionLost("The session was lost.", "network"),
        [
            (
                "server-message",
                {"type": "session-lost", "detail": "The session was lost.", "fault": "network"},
            )
        ],
    ),
    (
        events.SessionReplaced(True, 20, 1600, "s2"),
        [
            (
                "server-message",
                {
                    "type": "session-replaced",
                    "resumed": True,
                    "outage_ms": 20,
                    "replayed_ms": 1600,
                    "session_id": "s2",
                },
            )
        ],
    ),
    (events.ContextRebuilt(4), [("server-message", {"type": "context-rebuilt", "turns": 4})]),
    (events.ContextLost(), [("server-message", {"type": "context-lost"})]),
    (
        events.InputRefused("text", "Invalid argument."),
        [("server-message", {"type": "input-refused", "what": "text", "reason": "Invalid argument."})],
    ),
    (
        events.AgentFellSilent("empty_turn", "nudge", "RESPONSE_REJECTED"),
        [
            (
                "server-message",
                {
                    "type": "agent-fell-silent",
                    "cause": "empty_turn",
                    "step": "nudge",
                    "reason": "RESPONSE_REJECTED",
                },
            )
        ],
    ),
    (
        events.UsageReported({"prompt": {"AUDIO": 7}, "response": {}}, 0.25),
        [
            (
                "server-message",
                {"type": "usage-reported", "tokens": {"prompt": {"AUDIO": 7}, "response": {}}, "cost_usd": 0.25},
            )
        ],
    ),
    (
        events.LimitNear("budget", 0.8, 1.0),
        [("server-message", {"type": "limit-near", "kind": "budget", "used": 0.8, "limit": 1.0})],
    ),
    (events.AgentThought("Hm."), [("server-message", {"type": "agent-thought", "text": "Hm."})]),
    (
        events.SourcesFound(("rome",), (events.Source("Rome", "https://rome.example/"),)),
        [
            (
                "bot-llm-search-response",
                {
                    "origins": [{"site_uri": "https://rome.example/", "site_title": "Rome", "results": []}],
                    "queries": ["rome"],
                },
            )
        ],
    ),
    (
        events.CodeWritten("python", "print(1)"),
        [("server-message", {"type": "code-written", "language": "python", "code": "print(1)"})],
    ),
    (events.CodeRan("ok", "1"), [("server-message", {"type": "code-ran", "outcome": "ok", "output": "1"})]),
    (
        events.CallerWordsTimed((events.TimedWord("hi", 0.5, None),)),
        [
            (
                "server-message",
                {"type": "caller-words-timed", "words": ({"text": "hi", "start_s": 0.5, "end_s": None},)},
            )
        ],
    ),
    (
        events.AgentShowedPicture(2, "image/png", b"png"),
        [
            (
                "server-message",
                {
                    "type": "agent-showed-picture",
                    "number": 2,
                    "mime_type": "image/png",
                    "bytes": 3,
                    "data": "cG5n",
                },
            )
        ],
    ),
    (events.KeyPressed("#"), [("server-message", {"type": "key-pressed", "key": "#"})]),
    (
        events.CallEnded("hung_up", "The caller hung up.", "caller"),
        [
            (
                "server-message",
                {
                    "type": "call-ended",
                    "detail": "The caller hung up.",
                    "reason": "hung_up",
                    "fault": "caller",
                },
            )
        ],
    ),
    (events.RecordingStarted("2026/12/01/c1.webm"), [("server-message", {"type": "recording-started"})]),
    (events.RecordingPaused(), [("server-message", {"type": "recording-paused"})]),
    (events.RecordingResumed(), [("server-message", {"type": "recording-resumed"})]),
    (
        events.RecordingFailed("2026/12/01/c1.webm", "The disk is full."),
        [("server-message", {"type": "recording-failed"})],
    ),
    (events.RecordingStored("2026/12/01/c1.webm", 9, 8, 7), [("server-message", {"type": "recording-stored"})]),
    (
        events.CallEnded("live_refused", "Check the key.", "operator"),
        [
            ("error", {"error": "Check the key.", "fatal": True, "reason": "live_refused", "fault": "operator"}),
            (
                "server-message",
                {
                    "type": "call-ended",
                    "detail": "Check the key.",
                    "reason": "live_refused",
                    "fault": "operator",
                },
            ),
        ],
    ),
]


@pytest.mark.parametrize(("event", "messages"), EXAMPLES)
def test_an_event_is_told_as(event: events.Event, messages: list[tuple[str, dict[str, Any] | None]]) -> None:
    assert rtvi_messages(event) == messages


def test_a_transcript_of_the_caller_is_told_with_the_time() -> None:
    ((kind, data),) = rtvi_messages(events.CallerTranscribed("t1", 2, "hello", final=True, typed=True))
    assert kind == "user-transcription"
    assert data is not None
    assert datetime.fromisoformat(data.pop("timestamp")).utcoffset() == timedelta(0)
    assert data == {
        "text": "hello",
        "user_id": "caller",
        "final": True,
        "turn_id": "t1",
        "revision": 2,
        "typed": True,
    }


def test_no_event_was_forgotten_here() -> None:
    shown = {type(event) for event, _ in EXAMPLES} | {events.CallerTranscribed}
    assert shown == set(get_args(events.Event))


def test_events_are_frozen_facts() -> None:
    for event, _ in EXAMPLES:
        for field in dataclasses.fields(event):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(event, field.name, None)


def test_only_somebody_hanging_up_is_no_error() -> None:
    reasons = ("hung_up", "caller_left", "ice_lost", "live_lost", "shutdown")
    errors = [reason for reason in reasons if events.CallEnded(reason, "", "network").is_error]
    assert errors == ["ice_lost", "live_lost", "shutdown"]


def test_a_message_carries_label_type_and_what_it_has() -> None:
    assert json.loads(_message("bot-llm-started", None)) == {"label": "rtvi-ai", "type": "bot-llm-started"}
    assert json.loads(_message("error-response", {"error": "no"}, "7")) == {
        "label": "rtvi-ai",
        "type": "error-response",
        "id": "7",
        "data": {"error": "no"},
    }


def test_an_rtvi_message_is_read() -> None:
    message = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}
    assert _parse(json.dumps(message)) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping: 17",
        "{",
        "null",
        "[]",
        '"rtvi-ai"',
        "1" * 5000,
        "[" * 60_000,
        '{"label": "rtvi-ai", "data": ' + "[" * 200 + "]" * 200 + "}",
        '{"label": "rtvi-ai"',
        '{"type": "client-ready"}',
        '{"label": "RTVI-AI", "type": "client-ready"}',
        '{"label": ["rtvi-ai"], "type": "client-ready"}',
        '{"type": "signalling", "message": {"type": "trackStatus"}}',
        "\ud800",
    ],
)
def test_anything_else_is_ignored(text: str) -> None:
    assert _parse(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["label", "type", "x"]), inner),
    max_leaves=10,
)


@given(JSON)
def test_only_an_object_with_the_label_is_a_message(value: Any) -> None:
    is_message = isinstance(value, dict) and value.get("label") == "rtvi-ai"
    assert _parse(json.dumps(value)) == (value if is_message else None)
