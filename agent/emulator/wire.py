"""The Live API's JSON: client messages in, server messages out. Pure.

Client messages come in mixed key case and with URL-safe base64; both are made regular here, except inside what
belongs to the application (arguments, responses, JSON schemas, labels).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent.emulator.model.hearing import DEFAULT_DETECTION, PATIENT_SILENCE_MS, Detection

Json: TypeAlias = dict[str, Any]

INVALID = 1007
REFUSED = 1008
_SNAKE = re.compile(r"_([a-z0-9])")
_OPAQUE = {
    "args",
    "response",
    "labels",
    "parametersJsonSchema",
    "responseJsonSchema",
    "responseSchema",
    "parameters",
}
_AUDIO_MIME = re.compile(r"audio/pcm;\s*rate=(\d+)")
_MIN_HZ, _MAX_HZ = 8_000, 48_000
_SENSITIVITIES = ("{}_SENSITIVITY_UNSPECIFIED", "{}_SENSITIVITY_HIGH", "{}_SENSITIVITY_LOW")
_MAX_DETECTION_MS = 60_000
_SCHEDULINGS = ("SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT")


class WireError(Exception):
    """The client sent what the Live API closes the session for.

    Args:
        code: the WebSocket close code.
        reason: what the close frame says.
        violation: False when the client did nothing that it could have known to be wrong.
    """

    def __init__(self, code: int, reason: str, *, violation: bool = True) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.violation = violation


@dataclass(frozen=True)
class Setup:
    """The session was configured."""

    model: str
    """The model's resource name, not empty."""
    modality: str
    """``AUDIO`` or ``TEXT``."""
    functions: Mapping[str, bool]
    """Declared functions by name; True if the model goes on talking while the call runs."""
    detection: Detection
    """How speech is found."""
    manual_activity: bool
    """The client marks speech itself; the server's detector is off."""
    barge_in: bool
    """New activity interrupts the model."""
    transcribe_input: bool
    transcribe_output: bool
    resumable: bool
    """Handles were asked for."""
    handle: str | None
    """The handle to resume from."""
    begins_with_history: bool
    """The first client_content is the history; it asks nothing."""
    raw: Json = field(repr=False)
    """The whole setup with regular keys."""
    instruction: str = field(default="", repr=False)
    """The system instruction."""


@dataclass(frozen=True)
class Audio:
    """A chunk of the caller's sound arrived: int16 little-endian, mono, at ``rate_hz``."""

    pcm: bytes
    rate_hz: int


@dataclass(frozen=True)
class Picture:
    """A video frame arrived, as an encoded image."""

    data: bytes
    mime: str


@dataclass(frozen=True)
class Text:
    """Typed text arrived on the real-time path."""

    text: str


@dataclass(frozen=True)
class ActivityStarted:
    """The client says that the caller began to speak."""


@dataclass(frozen=True)
class ActivityEnded:
    """The client says that the caller stopped speaking."""


@dataclass(frozen=True)
class AudioStreamEnded:
    """The client closed its microphone for now."""


@dataclass(frozen=True)
class Content:
    """Turns were added to the history."""

    turns: tuple[tuple[str, str], ...]
    """(role, text) of each turn; pictures inside are in ``pictures``."""
    turn_complete: bool
    """The model is to answer."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class FunctionResult:
    """One function call was answered, or reported progress."""

    id: str
    name: str
    response: Json
    will_continue: bool = False
    scheduling: str = "WHEN_IDLE"
    """INTERRUPT, WHEN_IDLE or SILENT; of a call that the turn does not wait for."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class ToolResponse:
    """Functions were answered."""

    results: tuple[FunctionResult, ...]


@dataclass(frozen=True)
class ContextUpdate:
    """The system instruction or the tools changed."""

    functions: Mapping[str, bool] | None
    """The new declarations; None leaves the old ones."""
    instruction: str | None = None
    """The new system instruction; None leaves the old one."""


ClientMessage: TypeAlias = (
    Setup
    | Audio
    | Picture
    | Text
    | ActivityStarted
    | ActivityEnded
    | AudioStreamEnded
    | Content
    | ToolResponse
    | ContextUpdate
)


# --- client -> server


def parse(frame: str | bytes) -> tuple[ClientMessage, ...]:
    """The messages of one frame, in order.

    Raises:
        WireError: the frame breaks the protocol; the session is to be closed with its code.
    """
    try:
        text = frame if isinstance(frame, str) else frame.decode()
        raw = json.loads(text)
        if "\\u" in text:  # JSON can say half a surrogate pair, which no UTF-8 text can hold
            json.dumps(raw, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise WireError(INVALID, "Invalid JSON payload received.") from error
    if not isinstance(raw, dict):
        raise WireError(INVALID, "Invalid JSON payload received. The root must be an object.")
    messages: list[ClientMessage] = []
    for key, value in regular(raw).items():
        messages += _one(key, value)
    return tuple(messages)


def words_of(message: ClientMessage) -> str:
    """All that the model would read in a message, names of tools and JSON of their results among it."""
    match message:
        case Setup(raw=raw):
            return json.dumps(raw, ensure_ascii=False)
        case Text(text):
            return text
        case Content(turns):
            return "\n".join(text for _role, text in turns)
        case ToolResponse(results):
            return json.dumps([result.response for result in results], ensure_ascii=False)
        case ContextUpdate(functions, instruction):
            return "\n".join((*(functions or ()), instruction or ""))
        case _:
            return ""


def _one(key: str, value: Any) -> tuple[ClientMessage, ...]:
    if key not in ("setup", "realtimeInput", "clientContent", "toolResponse", "contextUpdate"):
        raise WireError(INVALID, f'Invalid JSON payload received. Unknown name "{key[:40]}": Cannot find field.')
    if not isinstance(value, dict):
        raise WireError(INVALID, f'Invalid value at "{key}".')
    try:
        match key:
            case "setup":
                return (_setup(value),)
            case "realtimeInput":
                return _realtime(value)
            case "clientContent":
                return (_content(value),)
            case "toolResponse":
                return (ToolResponse(tuple(_result(item) for item in value.get("functionResponses", ()))),)
            case _:
                return (_context(value),)
    except (TypeError, AttributeError, KeyError) as error:
        raise WireError(INVALID, f'Invalid value inside "{key}".') from error


def regular(value: Any) -> Any:
    """The same JSON with camelCase keys, leaving alone what belongs to the application."""
    if isinstance(value, dict):
        out = {}
        for key, inner in value.items():
            name = _camel(key)
            out[name] = inner if name in _OPAQUE else regular(inner)
        return out
    if isinstance(value, list):
        return [regular(item) for item in value]
    return value


def _camel(key: str) -> str:
    return _SNAKE.sub(lambda match: match[1].upper(), key) if "_" in key else key


def _setup(value: Json) -> Setup:
    model = value.get("model")
    if not isinstance(model, str) or not model.removeprefix("models/").strip("/ "):
        raise WireError(INVALID, "setup.model must name a model.")
    detection = value.get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
    resumption = value.get("sessionResumption")
    return Setup(
        model=model,
        modality=_modality(value.get("generationConfig", {}).get("responseModalities") or ["AUDIO"]),
        functions=_functions(value.get("tools") or ()),
        detection=_detection(detection),
        manual_activity=bool(detection.get("disabled")),
        barge_in=value.get("realtimeInputConfig", {}).get("activityHandling") != "NO_INTERRUPTION",
        transcribe_input=value.get("inputAudioTranscription") is not None,
        transcribe_output=value.get("outputAudioTranscription") is not None,
        resumable=resumption is not None,
        handle=(resumption or {}).get("handle") or None,
        begins_with_history=bool(value.get("historyConfig", {}).get("initialHistoryInClientContent")),
        raw=value,
        instruction=_text_of(value.get("systemInstruction") or {}),
    )


def _detection(wanted: Json) -> Detection:
    start = wanted.get("startOfSpeechSensitivity", _SENSITIVITIES[0].format("START"))
    end = wanted.get("endOfSpeechSensitivity", _SENSITIVITIES[0].format("END"))
    for name, value, word in (("start", start, "START"), ("end", end, "END")):
        if value not in [each.format(word) for each in _SENSITIVITIES]:
            raise WireError(INVALID, f"{name}OfSpeechSensitivity is unknown.")
    silence_ms = PATIENT_SILENCE_MS if end == "END_SENSITIVITY_LOW" else DEFAULT_DETECTION.silence_ms
    return Detection(
        start_ms=_milliseconds(wanted, "prefixPaddingMs", DEFAULT_DETECTION.start_ms),
        start_readily=start != "START_SENSITIVITY_LOW",
        silence_ms=_milliseconds(wanted, "silenceDurationMs", silence_ms),
    )


def _milliseconds(wanted: Json, name: str, otherwise: int) -> int:
    value = wanted.get(name)
    if value is None:
        return otherwise
    if not 0 <= int(value) <= _MAX_DETECTION_MS:
        raise WireError(INVALID, f"{name} is out of range.")
    return int(value)


def _modality(wanted: Sequence[str]) -> str:
    if len(wanted) != 1 or wanted[0] not in ("AUDIO", "TEXT"):
        raise WireError(INVALID, "Request contains an invalid argument: one response modality, AUDIO or TEXT.")
    return wanted[0]


def _functions(tools: Sequence[Json]) -> dict[str, bool]:
    return {
        declaration["name"]: declaration.get("behavior") == "NON_BLOCKING"
        for tool in tools
        for declaration in tool.get("functionDeclarations") or ()
    }


def _realtime(value: Json) -> tuple[ClientMessage, ...]:
    messages: list[ClientMessage] = [_blob(chunk) for chunk in value.get("mediaChunks") or ()]
    if "activityStart" in value:
        messages.append(ActivityStarted())
    messages += [_blob(value[key]) for key in ("audio", "video") if key in value]
    if "text" in value:
        messages.append(Text(str(value["text"])))
    if "activityEnd" in value:
        messages.append(ActivityEnded())
    if value.get("audioStreamEnd"):
        messages.append(AudioStreamEnded())
    return tuple(messages)


def _blob(blob: Json) -> Audio | Picture:
    mime = str(blob.get("mimeType", ""))
    if mime.startswith(("image/", "video/")):
        return Picture(_bytes(blob["data"]), mime)
    match = _AUDIO_MIME.fullmatch(mime)
    if match is None or not _MIN_HZ <= int(match[1]) <= _MAX_HZ:
        raise WireError(INVALID, "Audio must be audio/pcm;rate=N with N from 8000 to 48000.")
    pcm = _bytes(blob["data"])
    if len(pcm) % 2:
        raise WireError(INVALID, "Audio must be whole 16-bit samples.")
    return Audio(pcm, int(match[1]))


def _bytes(data: str) -> bytes:
    """Base64 in the standard or the URL-safe alphabet."""
    try:
        return base64.b64decode(data.translate(_TO_STANDARD), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(INVALID, "Base64 decoding failed.") from error


_TO_STANDARD = str.maketrans("-_", "+/")


def _content(value: Json) -> Content:
    turns: list[tuple[str, str]] = []
    pictures: list[Picture] = []
    for turn in value.get("turns") or ():
        parts = turn.get("parts") or ()
        turns.append((turn.get("role") or "user", _text_of(turn)))
        for part in parts:
            blob = part.get("inlineData")
            if blob and str(blob.get("mimeType", "")).startswith("image/"):
                pictures.append(Picture(_bytes(blob["data"]), blob["mimeType"]))
    return Content(tuple(turns), bool(value.get("turnComplete")), tuple(pictures))


def _result(value: Json) -> FunctionResult:
    response = value.get("response")
    scheduling = value.get("scheduling") or "SCHEDULING_UNSPECIFIED"
    if scheduling not in _SCHEDULINGS:
        raise WireError(
            INVALID, f"Invalid value at tool_response.function_responses.scheduling: {scheduling!s:.40}"
        )
    return FunctionResult(
        id=str(value.get("id") or ""),
        name=str(value.get("name") or ""),
        response=response if isinstance(response, dict) else {},
        will_continue=bool(value.get("willContinue")),
        scheduling="WHEN_IDLE" if scheduling == "SCHEDULING_UNSPECIFIED" else scheduling,
        pictures=tuple(_shown(part) for part in value.get("parts") or ()),
    )


def _shown(part: Json) -> Picture:
    blob = part["inlineData"]
    if not str(blob.get("mimeType", "")).startswith("image/"):
        raise WireError(INVALID, "Of a function's response only images are taken as parts.")
    return Picture(_bytes(blob["data"]), blob["mimeType"])


def _context(value: Json) -> ContextUpdate:
    instruction = _text_of(value["systemInstruction"]) if "systemInstruction" in value else None
    if "tools" not in value:
        return ContextUpdate(None, instruction)
    return ContextUpdate(_functions((value["tools"] or {}).get("tools") or ()), instruction)


def _text_of(content: Json) -> str:
    return " ".join(part["text"] for part in content.get("parts") or () if part.get("text"))


# --- server -> client


@dataclass(frozen=True)
class ServerMessage:
    """A message ready to be sent."""

    kind: str
    """What it says: its innermost telling key, e.g. ``audio``, ``turnComplete``, ``goAway``."""
    data: bytes = field(repr=False)
    """The frame's JSON; sent as a binary frame, as Google does."""

    @property
    def json(self) -> Any:
        return json.loads(self.data)


def message(kind: str, body: Json) -> ServerMessage:
    """Any message, also one that no Live API would send."""
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
    """The end of ``inputTranscription`` or ``outputTranscription``, in a message of its own."""
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
    """Ask for functions: (id, name, args) each."""
    listed = [{"id": call_id, "name": name, "args": args} for call_id, name, args in calls]
    return message("toolCall", {"toolCall": {"functionCalls": listed}})


def tool_call_cancellation(ids: Sequence[str]) -> ServerMessage:
    return message("toolCallCancellation", {"toolCallCancellation": {"ids": list(ids)}})


def resumption_update(handle: str | None) -> ServerMessage:
    """A new handle; None says that the session cannot be resumed at this moment."""
    update: Json = {"resumable": False} if handle is None else {"newHandle": handle, "resumable": True}
    return message("sessionResumptionUpdate", {"sessionResumptionUpdate": update})


def go_away(left_s: float) -> ServerMessage:
    return message("goAway", {"goAway": {"timeLeft": f"{left_s:g}s"}})


def usage(prompt: Mapping[str, int], response: Mapping[str, int]) -> Json:
    """Token counts by modality."""
    return {
        "promptTokenCount": sum(prompt.values()),
        "responseTokenCount": sum(response.values()),
        "totalTokenCount": sum(prompt.values()) + sum(response.values()),
        "promptTokensDetails": [{"modality": key, "tokenCount": n} for key, n in prompt.items() if n],
        "responseTokensDetails": [{"modality": key, "tokenCount": n} for key, n in response.items() if n],
    }
