"""Read a client's frames as the Live API does. Pure.

The SDK mixes snake_case and camelCase keys and sends URL-safe base64. Both are made regular here, except inside
what belongs to the application: arguments, responses, JSON schemas, labels.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from agent.emulator.wire.incoming import (
    DEFAULT_DETECTION,
    LOW_END_SENSITIVITY_SILENCE_MS,
    ActivityEnded,
    ActivityStarted,
    Audio,
    AudioStreamEnded,
    ClientMessage,
    Content,
    ContextUpdate,
    Detection,
    FunctionResult,
    Json,
    Picture,
    Setup,
    Text,
    ToolResponse,
)

INVALID = 1007
REFUSED = 1008

FIELDS = {
    "setup": (
        *("model", "generationConfig", "systemInstruction", "tools", "realtimeInputConfig", "sessionResumption"),
        *("contextWindowCompression", "inputAudioTranscription", "outputAudioTranscription", "proactivity"),
        *("explicitVadSignal", "historyConfig", "avatarConfig", "safetySettings", "labels"),
    ),
    "realtimeInput": (
        *("mediaChunks", "audio", "video", "text", "audioStreamEnd", "activityStart", "activityEnd"),
    ),
    "clientContent": ("turns", "turnComplete"),
    "toolResponse": ("functionResponses",),
    "contextUpdate": ("systemInstruction", "tools"),
}
"""The client's messages, and the fields of each."""
_OPAQUE = {
    *("args", "response", "labels", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"),
}
_SNAKE = re.compile(r"_([a-z0-9])")
_AUDIO_MIME = re.compile(r"audio/pcm;\s*rate=(\d{1,9})")
_MIN_HZ, _MAX_HZ = 8_000, 48_000
_SENSITIVITIES = ("{}_SENSITIVITY_UNSPECIFIED", "{}_SENSITIVITY_HIGH", "{}_SENSITIVITY_LOW")
_MAX_DETECTION_MS = 60_000
_SCHEDULINGS = ("SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT")
_MAX_NESTING = 100  # protobuf's limit
_ROLES = ("user", "model")
_URL_SAFE_TO_STANDARD = str.maketrans("-_", "+/")


class WireError(Exception):
    """The client sent something that the Live API closes the session for.

    Args:
        code: the WebSocket close code.
        reason: what the close frame says.
        violation: False if the client could not have known that it was wrong.
    """

    def __init__(self, code: int, reason: str, *, violation: bool = True) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.violation = violation


def parse(frame: str | bytes) -> tuple[ClientMessage, ...]:
    """The messages in one frame, in order: several if it is a realtimeInput that holds several.

    Raises:
        WireError: the frame breaks the protocol; the session must be closed with its code.
    """
    try:
        value = regular(read_json(frame if isinstance(frame, str) else frame.decode()))
    except ValueError as error:
        raise WireError(INVALID, "Invalid JSON payload received.") from error
    if not isinstance(value, dict):
        raise WireError(INVALID, "Invalid JSON payload received. The root must be an object.")
    for name in value:
        if name not in FIELDS:
            raise _unknown_name(name)
    if len(value) > 1:  # a oneof of the API's
        raise WireError(INVALID, f"Invalid JSON payload received. Only one of {', '.join(FIELDS)} may be set.")
    return tuple(message for name, body in value.items() for message in _parse_message(name, body))


def read_json(text: str) -> Any:
    """Read JSON that can be sent on.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds half a surrogate pair, which UTF-8 cannot hold.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check_nesting(value, _MAX_NESTING)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _check_nesting(value: Any, levels: int) -> None:
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError("nested too deeply")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_nesting(inner, levels - 1)


def words_of(message: ClientMessage) -> str:
    """Everything in a message that the model would read, including tools' names and the JSON of their results."""
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


def regular(value: Any) -> Any:
    """The same JSON with camelCase keys, except in what belongs to the application."""
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


def _refuse_constant(name: str) -> NoReturn:
    """Python reads NaN and Infinity as numbers; JSON has neither."""
    raise ValueError(name)


def _unknown_name(name: str, inside: str = "") -> WireError:
    where = f" at '{inside}'" if inside else ""
    return WireError(
        INVALID, f"Invalid JSON payload received. Unknown name {json.dumps(name[:40])}{where}: Cannot find field."
    )


def _parse_message(name: str, body: Any) -> tuple[ClientMessage, ...]:
    if not isinstance(body, dict):
        raise WireError(INVALID, f'Invalid value at "{name}".')
    for field in body:
        if field not in FIELDS[name]:
            raise _unknown_name(field, name)
    try:
        match name:
            case "setup":
                return (_setup(body),)
            case "realtimeInput":
                return _realtime_input(body)
            case "clientContent":
                return (_content(body),)
            case "toolResponse":
                return (ToolResponse(tuple(map(_result, body.get("functionResponses") or ()))),)
            case _:
                return (_context_update(body),)
    except (TypeError, AttributeError, KeyError, ValueError, OverflowError) as error:
        raise WireError(INVALID, f'Invalid value inside "{name}".') from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _setup(body: Json) -> Setup:
    model = body.get("model")
    if not isinstance(model, str) or not model.removeprefix("models/").strip("/ "):
        raise WireError(INVALID, "setup.model must name a model.")
    realtime = body.get("realtimeInputConfig") or {}
    detection = realtime.get("automaticActivityDetection") or {}
    resumption = body.get("sessionResumption")
    return Setup(
        model=model,
        modality=_modality((body.get("generationConfig") or {}).get("responseModalities") or ["AUDIO"]),
        functions=_functions(body.get("tools") or ()),
        detection=_detection(detection),
        manual_activity=bool(detection.get("disabled")),
        barge_in=realtime.get("activityHandling") != "NO_INTERRUPTION",
        transcribe_input=body.get("inputAudioTranscription") is not None,
        transcribe_output=body.get("outputAudioTranscription") is not None,
        resumable=resumption is not None,
        handle=_text((resumption or {}).get("handle") or "") or None,
        begins_with_history=bool((body.get("historyConfig") or {}).get("initialHistoryInClientContent")),
        raw=body,
        instruction=_text_of(body.get("systemInstruction") or {}),
    )


def _detection(wanted: Json) -> Detection:
    start = wanted.get("startOfSpeechSensitivity") or _SENSITIVITIES[0].format("START")
    end = wanted.get("endOfSpeechSensitivity") or _SENSITIVITIES[0].format("END")
    for name, value, word in (("start", start, "START"), ("end", end, "END")):
        if value not in [each.format(word) for each in _SENSITIVITIES]:
            raise WireError(INVALID, f"{name}OfSpeechSensitivity is unknown.")
    silence_ms = LOW_END_SENSITIVITY_SILENCE_MS if end == "END_SENSITIVITY_LOW" else DEFAULT_DETECTION.silence_ms
    return Detection(
        start_ms=_milliseconds(wanted, "prefixPaddingMs", DEFAULT_DETECTION.start_ms),
        start_readily=start != "START_SENSITIVITY_LOW",
        silence_ms=_milliseconds(wanted, "silenceDurationMs", silence_ms),
    )


def _milliseconds(wanted: Json, name: str, default: int) -> int:
    value = wanted.get(name)
    if value is None:
        return default
    if not 0 <= int(value) <= _MAX_DETECTION_MS:
        raise WireError(INVALID, f"{name} is out of range.")
    return int(value)


def _modality(wanted: Sequence[str]) -> str:
    if len(wanted) != 1 or wanted[0] not in ("AUDIO", "TEXT"):
        raise WireError(INVALID, "Request contains an invalid argument: one response modality, AUDIO or TEXT.")
    return wanted[0]


def _functions(tools: Sequence[Json]) -> dict[str, bool]:
    return {
        _text(declaration["name"]): declaration.get("behavior") == "NON_BLOCKING"
        for tool in tools
        for declaration in tool.get("functionDeclarations") or ()
    }


def _realtime_input(body: Json) -> tuple[ClientMessage, ...]:
    messages: list[ClientMessage] = [_media(blob) for blob in body.get("mediaChunks") or ()]
    if "activityStart" in body:
        messages.append(ActivityStarted())
    if "audio" in body:
        messages.append(_audio(body["audio"]))
    if "video" in body:
        messages.append(_video(body["video"]))
    if "text" in body:
        messages.append(Text(_text(body["text"])))
    if "activityEnd" in body:
        messages.append(ActivityEnded())
    if body.get("audioStreamEnd"):
        messages.append(AudioStreamEnded())
    return tuple(messages)


def _mime(blob: Json) -> str:
    return str(blob.get("mimeType", ""))


def _media(blob: Json) -> Audio | Picture:
    return _video(blob) if _mime(blob).startswith(("image/", "video/")) else _audio(blob)


def _video(blob: Json) -> Picture:
    if not _mime(blob).startswith(("image/", "video/")):
        raise WireError(INVALID, "Video must be images.")
    return Picture(_bytes(blob["data"]), _mime(blob))


def _audio(blob: Json) -> Audio:
    match = _AUDIO_MIME.fullmatch(_mime(blob))
    if match is None or not _MIN_HZ <= int(match[1]) <= _MAX_HZ:
        raise WireError(INVALID, "Audio must be audio/pcm;rate=N with N from 8000 to 48000.")
    pcm = _bytes(blob["data"])
    if len(pcm) % 2:
        raise WireError(INVALID, "Audio must be whole 16-bit samples.")
    return Audio(pcm, int(match[1]))


def _bytes(data: str) -> bytes:
    """Base64 in the standard or the URL-safe alphabet."""
    try:
        return base64.b64decode(data.translate(_URL_SAFE_TO_STANDARD), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(INVALID, "Base64 decoding failed.") from error


def _content(body: Json) -> Content:
    turns: list[tuple[str, str]] = []
    pictures: list[Picture] = []
    for turn in body.get("turns") or ():
        role = turn.get("role") or "user"
        if role not in _ROLES:
            raise WireError(INVALID, "Please use a valid role: user, model.")
        turns.append((role, _text_of(turn)))
        for part in turn.get("parts") or ():
            blob = part.get("inlineData")
            if blob and _mime(blob).startswith("image/"):
                pictures.append(Picture(_bytes(blob["data"]), _mime(blob)))
    return Content(tuple(turns), bool(body.get("turnComplete")), tuple(pictures))


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
        pictures=tuple(map(_image_part, value.get("parts") or ())),
    )


def _image_part(part: Json) -> Picture:
    blob = part["inlineData"]
    if not _mime(blob).startswith("image/"):
        raise WireError(INVALID, "The parts of a function response must be images.")
    return Picture(_bytes(blob["data"]), _mime(blob))


def _context_update(body: Json) -> ContextUpdate:
    instruction = _text_of(body["systemInstruction"]) if "systemInstruction" in body else None
    if "tools" not in body:
        return ContextUpdate(None, instruction)
    return ContextUpdate(_functions((body["tools"] or {}).get("tools") or ()), instruction)


def _text_of(content: Json) -> str:
    return " ".join(part["text"] for part in content.get("parts") or () if part.get("text"))
