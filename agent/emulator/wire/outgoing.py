"""What the Live API sends, as JSON. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.emulator.wire.incoming import Json


@dataclass(frozen=True)
class ServerMessage:
    """A message that is ready to be sent."""

    kind: str
    """The innermost key that tells what it is, e.g. ``audio``, ``turnComplete``, ``goAway``."""
    data: bytes = field(repr=False)
    """The frame's JSON; sent as a binary frame, as Google does."""

    @property
    def json(self) -> Any:
        return json.loads(self.data)


def message(kind: str, body: Json) -> ServerMessage:
    """Make any message, including one that no Live API would send."""
    return ServerMessage(kind, json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


def setup_complete(session_id: str) -> ServerMessage:
    return message("setupComplete", {"setupComplete": {"sessionId": session_id}})


def audio(pcm: bytes, rate_hz: int = 24_000) -> ServerMessage:
    """A chunk of the model's speech: int16 little-endian, mono."""
    data = base64.b64encode(pcm).decode()
    return _model_turn("audio", {"inlineData": {"mimeType": f"audio/pcm;rate={rate_hz}", "data": data}})


def text(words: str) -> ServerMessage:
    return _model_turn("text", {"text": words})


def _model_turn(kind: str, part: Json) -> ServerMessage:
    return _server_content(kind, {"modelTurn": {"role": "model", "parts": [part]}})


def _server_content(kind: str, content: Json) -> ServerMessage:
    return message(kind, {"serverContent": content})


def input_transcription(words: str) -> ServerMessage:
    return _server_content("inputTranscription", {"inputTranscription": {"text": words}})


def output_transcription(words: str) -> ServerMessage:
    return _server_content("outputTranscription", {"outputTranscription": {"text": words}})


def transcription_finished(kind: str) -> ServerMessage:
    """The end of an ``inputTranscription`` or ``outputTranscription``, in a message of its own."""
    return _server_content(kind, {kind: {"finished": True}})


def generation_complete() -> ServerMessage:
    return _server_content("generationComplete", {"generationComplete": True})


def interrupted() -> ServerMessage:
    return _server_content("interrupted", {"interrupted": True})


def turn_complete(usage: Json | None = None) -> ServerMessage:
    body: Json = {"serverContent": {"turnComplete": True}}
    if usage is not None:
        body["usageMetadata"] = usage
    return message("turnComplete", body)


def tool_call(calls: Sequence[tuple[str, str, Json]]) -> ServerMessage:
    """Ask for functions to be called: (id, name, args) of each."""
    listed = [{"id": call_id, "name": name, "args": args} for call_id, name, args in calls]
    return message("toolCall", {"toolCall": {"functionCalls": listed}})


def tool_call_cancellation(ids: Sequence[str]) -> ServerMessage:
    return message("toolCallCancellation", {"toolCallCancellation": {"ids": list(ids)}})


def resumption_update(handle: str | None) -> ServerMessage:
    """A new handle; None says that the session cannot be resumed from this moment."""
    update: Json = {"resumable": False} if handle is None else {"newHandle": handle, "resumable": True}
    return message("sessionResumptionUpdate", {"sessionResumptionUpdate": update})


def go_away(left_s: float) -> ServerMessage:
    """``timeLeft`` is a protobuf Duration: nanoseconds at most, and no exponent."""
    whole, _, part = f"{left_s:.9f}".partition(".")
    part = part.rstrip("0")
    return message("goAway", {"goAway": {"timeLeft": f"{whole}{'.' if part else ''}{part}s"}})


def usage(prompt: Mapping[str, int], response: Mapping[str, int], *, vertex: bool = False) -> Json:
    """Token counts by modality, as ``usageMetadata``; Vertex AI calls the response's ``candidates...``."""
    answer = "candidates" if vertex else "response"
    return {
        "promptTokenCount": sum(prompt.values()),
        f"{answer}TokenCount": sum(response.values()),
        "totalTokenCount": sum(prompt.values()) + sum(response.values()),
        "promptTokensDetails": [{"modality": key, "tokenCount": n} for key, n in prompt.items() if n],
        f"{answer}TokensDetails": [{"modality": key, "tokenCount": n} for key, n in response.items() if n],
    }
