"""Calls to keep in a history."""

from __future__ import annotations

from typing import Any

from signaling.history.record import CallEnd, CallStart, ToolUse, Turn

BEGAN_MS = 1_790_000_000_000
MINUTE_MS = 60_000


def call(number: int = 1, **changes: Any) -> CallStart:
    """Return a call; a higher number began later."""
    values: dict[str, Any] = {
        "call_id": f"rtc_{number:06}",
        "started_ms": BEGAN_MS + number * MINUTE_MS,
        "model": "gemini-3.8-live",
        "caller": "+4930123456",
        "callee": "sip:agent@localhost",
        "codec": "opus",
    }
    return CallStart(**values | changes)


def said(text: str, turn_id: str = "turn-1", **changes: Any) -> Turn:
    values: dict[str, Any] = {"speaker": "caller", "started_ms": BEGAN_MS, "ended_ms": BEGAN_MS + 900}
    return Turn(turn_id=turn_id, text=text, **values | changes)


def used(key: str = "call-1", **changes: Any) -> ToolUse:
    values: dict[str, Any] = {"name": "get_weather", "started_ms": BEGAN_MS, "ended_ms": BEGAN_MS + 30}
    return ToolUse(key=key, outcome=changes.pop("outcome", "result"), **values | changes)


def end(of: CallStart, **changes: Any) -> CallEnd:
    values: dict[str, Any] = {
        "ended_ms": of.started_ms + 42_000,
        "reason": "hung_up",
        "detail": "The caller hung up.",
        "fault": "caller",
    }
    return CallEnd(**values | changes)
