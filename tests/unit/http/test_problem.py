"""Errors have one shape, which RFC 9457 and OpenAI's SDKs both read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from signaling.http.problem import problem


def body(response: web.Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    shown: dict[str, Any] = json.loads(response.body)
    return shown


def test_a_problem_says_the_same_in_both_dialects() -> None:
    response = problem(422, "no_acceptable_audio", "The offer has no audio section.")
    assert response.status == 422
    assert response.content_type == "application/problem+json"
    assert body(response) == {
        "type": "about:blank",
        "title": "Unprocessable content",
        "status": 422,
        "detail": "The offer has no audio section.",
        "error": {
            "message": "The offer has no audio section.",
            "type": "unprocessable_content",
            "code": "no_acceptable_audio",
        },
    }


def test_a_client_is_told_when_to_come_again() -> None:
    assert problem(503, "full", "All calls are in use.", retry_after_s=5).headers["Retry-After"] == "5"
    assert problem(503, "full", "All calls are in use.", retry_after_s=0).headers["Retry-After"] == "0"
    assert "Retry-After" not in problem(400, "invalid_sdp", "No SDP.").headers


@pytest.mark.parametrize("status", [400, 401, 404, 412, 413, 415, 422, 428, 429, 500, 503])
def test_every_status_that_is_used_has_a_title(status: int) -> None:
    assert body(problem(status, "x", "y"))["title"] != "Error"


def test_a_status_without_a_title_is_still_a_problem() -> None:
    assert body(problem(418, "teapot", "Short and stout."))["title"] == "Error"
