"""generateContent as the API reads it, and what the demo answers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.emulator.wire.generate import PATH, BadRequestError, example, parse_request

GEMINI = "/v1beta/models/m-1:generateContent"
EXPRESS = "/v1beta1/publishers/google/models/m-1:generateContent"
PROJECT = "/v1beta1/projects/p/locations/us-central1/publishers/google/models/m-1:generateContent"
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


@pytest.mark.parametrize("path", [GEMINI, EXPRESS, PROJECT])
def test_a_request_is_read(path: str) -> None:
    config = {"response_mime_type": "application/json", "responseJsonSchema": {"type": "object", "my_own": 1}}
    request = parse_request(path, json.dumps({**CONTENTS, "generationConfig": config}))
    assert (request.model, request.text) == ("m-1", "hello")
    assert request.schema == {"type": "object", "my_own": 1}


@pytest.mark.parametrize(
    "path", ["/v1beta/models/m:streamGenerateContent", "/models/m:generateContent", "/v1beta/m"]
)
def test_other_addresses_are_not_served(path: str) -> None:
    assert PATH.fullmatch(path) is None


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (GEMINI, "{", "Invalid JSON"),
        (GEMINI, "[]", "root must be an object"),
        (GEMINI, "{}", "contents is not specified"),
        (GEMINI, json.dumps({**CONTENTS, "stored": False}), 'Unknown name "stored": Cannot find field.'),
        (EXPRESS, json.dumps({**CONTENTS, "store": False}), 'Unknown name "store": Cannot find field.'),
        (GEMINI, json.dumps({**CONTENTS, "labels": {}}), 'Unknown name "labels"'),
        (GEMINI, json.dumps({**CONTENTS, "generationConfig": {"schema": {}}}), "at 'generation_config'"),
        (GEMINI, json.dumps({**CONTENTS, "generationConfig": {"responseJsonSchema": {"a": 1}}}), "mime type"),
        (GEMINI, json.dumps({"contents": "hello"}), "Invalid value at 'contents'"),
    ],
)
def test_what_the_api_refuses_is_refused(path: str, body: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(words)):
        parse_request(path, body)


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y"]}},
            "required": ["a", "b"],
        },
        {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2},
        {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        {"type": "string", "minLength": 99, "maxLength": 99},
        {"type": "string", "format": "date"},
        {"type": ["number", "null"], "maximum": -2},
    ],
)
def test_the_demo_fits_a_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        example(schema, "words")
    )
