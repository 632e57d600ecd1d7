"""Whether what a scenario expects has happened, by what its caller was told and heard. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signaling.load.hearing import Ear
from signaling.load.record import Turn
from signaling.load.scenario import Expect, SeenEvent, ToolCall, Turns
from signaling.load.words import missing_words, transcript

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Scene:
    """What an expectation is about.

    Attributes:
        ear: what was heard.
        every: all messages of the call.
        new: those since the caller last said or did something.
        turn: that; None before the first.
        said: all words that the caller has said in the call.
        ended: how the call ended; None if it goes on.
    """

    ear: Ear
    every: Messages
    new: Messages
    turn: Turn | None
    said: str
    ended: str | None


def reply_ms(scene: Scene) -> float | None:
    """Return after how long the answer began; None if it has not."""
    if scene.turn is None or scene.ear.newest_talk_at <= scene.turn.ended_at:
        return None
    starts = [talk.started_at for talk in scene.ear.talks] + [scene.ear.newest_talk_at]
    return 1e3 * (min(at for at in starts if at > scene.turn.ended_at) - scene.turn.ended_at)


def stop_ms(scene: Scene) -> float | None:
    """Return how long the agent was heard after the caller began to speak into it; None if it is still heard."""
    if scene.turn is None:
        return None
    cut = [talk for talk in scene.ear.talks if talk.started_at <= scene.turn.started_at]
    return 1e3 * (max(talk.ended_at for talk in cut) - scene.turn.started_at) if cut else None


def holds(kind: str, expected: Expect, scene: Scene) -> bool:
    """Return whether one field of an expectation holds now."""
    return _JUDGES[kind](getattr(expected, kind), scene)


def _replied(limit_ms: float, scene: Scene) -> bool:
    took_ms = reply_ms(scene)
    return took_ms is not None and took_ms <= limit_ms


def _interrupted(limit_ms: float, scene: Scene) -> bool:
    took_ms = stop_ms(scene)
    return took_ms is not None and took_ms <= limit_ms


def _heard(pattern: str, scene: Scene) -> bool:
    texts = [str(each["data"].get("text", "")) for each in scene.new if each["type"] == "bot-output"]
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)


def _transcribed(pattern: str, scene: Scene) -> bool:
    return re.search(pattern, transcript(scene.new), re.IGNORECASE) is not None


def _tool(wanted: ToolCall, scene: Scene) -> bool:
    for call in scene.new:
        if call["type"] != "llm-function-call-in-progress" or call["data"].get("function_name") != wanted.name:
            continue
        if not _contains(call["data"].get("arguments") or {}, wanted.arguments):
            continue
        ends = [
            each["data"].get("outcome")
            for each in scene.new
            if each["type"] == "llm-function-call-stopped"
            and each["data"].get("tool_call_id") == call["data"].get("tool_call_id")
        ]
        if wanted.outcome == "any" or wanted.outcome in ends:
            return True
    return False


def _not_called(name: str, scene: Scene) -> bool:
    return not any(
        each["type"] == "llm-function-call-in-progress" and each["data"].get("function_name") == name
        for each in scene.new
    )


def _turns(wanted: Turns, scene: Scene) -> bool:
    agent = {str(each["data"].get("segment_id")) for each in scene.every if each["type"] == "bot-output"}
    caller = {str(each["data"].get("turn_id")) for each in scene.every if each["type"] == "user-transcription"}
    return wanted.agent in (None, len(agent)) and wanted.caller in (None, len(caller))


def _event(wanted: SeenEvent, scene: Scene) -> bool:
    for each in scene.new:
        kind = each["data"].get("type") if each["type"] == "server-message" else each["type"]
        if kind == wanted.type and _contains(each["data"], wanted.data):
            return True
    return False


def _cost(limit_usd: float, scene: Scene) -> bool:
    costs = [
        each["data"].get("cost_usd")
        for each in scene.every
        if each["type"] == "server-message" and each["data"].get("type") == "usage-reported"
    ]
    return not costs or (isinstance(costs[-1], int | float) and costs[-1] < limit_usd)


def _contains(given: Any, wanted: Mapping[str, Any]) -> bool:
    """Return whether all fields are there; texts are compared without case."""
    return isinstance(given, dict) and all(
        name in given and _like(given[name]) == _like(value) for name, value in wanted.items()
    )


def _like(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


_JUDGES: dict[str, Callable[[Any, Scene], bool]] = {
    "reply_within_ms": _replied,
    "heard": _heard,
    "transcribed": _transcribed,
    "tool": _tool,
    "not_called": _not_called,
    "turns": _turns,
    "event": _event,
    "interrupted_within_ms": _interrupted,
    "ended": lambda wanted, scene: scene.ended is not None and bool(re.search(wanted.reason, scene.ended)),
    "cost_below_usd": _cost,
    "no_word_lost": lambda _wanted, scene: not missing_words(scene.said, transcript(scene.every)),
}
