"""generateContent on the wire: what a request may hold, and what is answered. Pure.

https://ai.google.dev/api/generate-content for the Gemini API; Vertex AI knows other fields at the top.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.emulator.wire.incoming import Json
from agent.emulator.wire.parse import read_json, regular

PATH = re.compile(
    r"/v\w+/(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?(?P<model>(?:tuned)?[mM]odels/[^/:]+):generateContent"
)
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "CANCELLED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""google.rpc.Code's name for an HTTP status."""
_FIELDS = (
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
)
_GEMINI_FIELDS = ("model", "store", "serviceTier")
_VERTEX_FIELDS = ("labels", "modelArmorConfig")
_GENERATION_FIELDS = (
    *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "responseLogprobs"),
    *("logprobs", "presencePenalty", "frequencyPenalty", "seed", "responseMimeType", "responseSchema"),
    *("responseJsonSchema", "routingConfig", "responseModalities", "mediaResolution", "speechConfig"),
    *("audioTimestamp", "thinkingConfig", "imageConfig", "enableEnhancedCivicAnswers"),
)


class BadRequestError(Exception):
    """A request that the API answers with 400 INVALID_ARGUMENT; the message is the API's."""


@dataclass(frozen=True)
class GenerateRequest:
    """A request as the API reads it."""

    model: str
    text: str = field(repr=False)
    """All texts of the contents, one per line."""
    instruction: str = field(repr=False)
    schema: Json | None = field(repr=False)
    """JSON schema of the answer; None if none was given."""
    body: Json = field(repr=False)
    """Everything, with regular keys."""


def parse_request(path: str, body: str) -> GenerateRequest:
    """Read a request.

    Args:
        path: the URL's path.
        body: JSON.

    Raises:
        BadRequestError: it is not what the API takes.
    """
    found = PATH.fullmatch(path)
    vertex = "/publishers/" in path
    try:
        told = regular(read_json(body))
    except ValueError:
        raise BadRequestError("Invalid JSON payload received.") from None
    if found is None or not isinstance(told, dict):
        raise BadRequestError("Invalid JSON payload received. The root must be an object.")
    _check_names(told, (*_FIELDS, *(_VERTEX_FIELDS if vertex else _GEMINI_FIELDS)), "")
    config = told.get("generationConfig") or {}
    if not isinstance(config, dict):
        raise BadRequestError("Invalid value at 'generation_config'.")
    _check_names(config, _GENERATION_FIELDS, "generation_config")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema is not None and config.get("responseMimeType") != "application/json":
        raise BadRequestError(
            "Response schema with a response mime type other than application/json is unsupported."
        )
    text = _texts(told.get("contents"), "contents")
    if not text:
        raise BadRequestError("* GenerateContentRequest.contents: contents is not specified")
    instruction = told.get("systemInstruction")
    return GenerateRequest(
        found["model"].rpartition("/")[2],
        text,
        "" if instruction is None else _texts([instruction], "system_instruction"),
        schema,
        told,
    )


def answer(text: str | None, finish: str, *, model: str, prompt_tokens: int) -> Json:
    """Return a response with one candidate; None leaves out its content, as after SAFETY."""
    candidate: Json = {"finishReason": finish, "index": 0}
    if text is not None:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, **candidate}
    written = len(text or "") // 4
    usage = _usage(prompt_tokens, written)
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "emulated"}


def blocked(reason: str, *, model: str, prompt_tokens: int) -> Json:
    """Return a response to a prompt that is blocked: it has no candidate."""
    return {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": _usage(prompt_tokens, 0),
        "modelVersion": model,
        "responseId": "emulated",
    }


def error(status: int, message: str, retry_after_s: float | None = None) -> Json:
    """Return the body of an error."""
    told: Json = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
    if retry_after_s is not None:
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after_s:g}s"}
        told["details"] = [info]
    return {"error": told}


def example(schema: Any, words: str) -> Any:
    """Return something short that fits a JSON schema without references; its texts are ``words`` where they may."""
    if not isinstance(schema, Mapping):
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return example(schema["anyOf"][0], words)
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: example(properties.get(name), words) for name in schema.get("required") or properties}
        case "array":
            return [example(schema.get("items"), words)] * int(schema.get("minItems", 0))
        case "string":
            return _example_text(schema, words)
        case "integer" | "number":
            return schema.get("minimum", schema.get("maximum", 0))
        case "boolean":
            return False
        case _:
            return None


def _example_text(schema: Mapping[str, Any], words: str) -> str:
    dated = {"date": "2026-01-01", "time": "12:00:00Z", "date-time": "2026-01-01T12:00:00Z"}
    text = dated.get(str(schema.get("format")), words)
    return text[: schema.get("maxLength")].ljust(int(schema.get("minLength", 0)), "-")


def _usage(prompt: int, written: int) -> Json:
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": written,
        "totalTokenCount": prompt + written,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }


def _check_names(told: Json, known: tuple[str, ...], inside: str) -> None:
    where = f" at '{inside}'" if inside else ""
    for name in told:
        if name not in known:
            raise BadRequestError(
                f"Invalid JSON payload received. Unknown name {json.dumps(name[:40])}{where}: Cannot find field."
            )


def _texts(contents: Any, where: str) -> str:
    try:
        parts = [part for content in contents or () for part in content.get("parts") or ()]
        return "\n".join(part["text"] for part in parts if "text" in part)
    except (AttributeError, TypeError, KeyError):
        raise BadRequestError(f"Invalid value at '{where}'.") from None
