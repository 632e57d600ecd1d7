"""What `talkspurt call` reports of a call besides what was said."""

from __future__ import annotations

from typing import Any

import pytest

from signaling.client.tally import MAX_SHOWN_CHARS, Tally, notices_of

CALLED = {"tool_call_id": "1", "function_name": "get_weather", "arguments": {"city": "Malmö"}}
STOPPED = {"tool_call_id": "1", "function_name": "get_weather", "cancelled": False, "result": {"output": 21}}


def message(kind: str, **data: Any) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "data": data}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (message("llm-function-call-in-progress", **CALLED), ['tool: get_weather {"city": "Malmö"}']),
        (message("llm-function-call-stopped", **STOPPED), ['tool: get_weather answered {"output": 21}']),
        (message("llm-function-call-in-progress", tool_call_id="1", function_name="pay"), ["tool: pay"]),
        (
            message("llm-function-call-stopped", function_name="pay", cancelled=False, outcome="error"),
            ["tool: pay ended: error"],
        ),
        (message("llm-function-call-in-progress", tool_call_id="1"), ["tool: (not told)"]),
        (message("llm-function-call-stopped", cancelled=False), ["tool: (not told) ended: done"]),
        (
            message("llm-function-call-stopped", **{**STOPPED, "cancelled": True}),
            ["tool: get_weather was cancelled"],
        ),
        (
            message(
                "bot-llm-search-response", origins=[{"site_title": "Rome", "site_uri": "https://rome.example/"}]
            ),
            ["source: Rome https://rome.example/"],
        ),
        (message("error-response", error="send-text: no"), ["error: send-text: no"]),
        (message("error", error="\x1b[2Jgone\n", fatal=True), ["error:  [2Jgone "]),
        (message("bot-llm-started"), []),
        ({"label": "rtvi-ai", "type": "bot-llm-started"}, []),
    ],
)
def test_notices(given: dict[str, Any], told: list[str]) -> None:
    assert list(notices_of(given)) == told


def test_a_long_notice_is_cut() -> None:
    (told,) = notices_of(message("error", error="x" * 1000))
    assert len(told) == MAX_SHOWN_CHARS
    assert told.endswith("…")


def test_the_figures() -> None:
    tally = Tally()
    assert tally.rows() == []
    for wait_ms in (500, 900, 640):
        tally.note(message("server-message", type="agent-responded", response_ms=wait_ms))
    tally.note(message("llm-function-call-in-progress", **CALLED))
    tally.note(message("llm-function-call-in-progress", **CALLED))
    tally.note(message("bot-interrupted", heard_ms=1, dropped_ms=2))
    tokens = {"prompt": {"TEXT": 20, "AUDIO": 812, "IMAGE": 0}, "response": {}}
    tally.note(message("server-message", type="usage-reported", tokens=tokens, cost_usd=0.0042))
    tally.note(message("server-message", type="picture-sent"))
    assert tally.rows() == [
        ("answers", "3, after 0.64 s (median), 0.90 s (longest)"),
        ("interruptions", "1"),
        ("tools", "get_weather 2"),
        ("tokens", "20 text, 812 audio read; none said"),
        ("cost", "$0.0042"),
    ]
    tally.note(message("server-message", type="usage-reported", tokens=tokens, cost_usd=None))
    assert tally.rows()[-1] == ("cost", "no price known")
