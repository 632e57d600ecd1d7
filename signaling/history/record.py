"""The items kept about a call, as frozen values, made by the calls' observers. Pure.

Times are Unix milliseconds. Texts are what people said, so they are neither logged nor shown by `repr`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.events import Fault
from agent.unicode import valid_json, valid_text

CallState = Literal["running", "ended", "crashed"]
"""``crashed`` means that the call's process died before the call ended."""

RecordingState = Literal["off", "writing", "stored", "failed"]

MAX_JSON_CHARS = 256 << 10  # per value; a tool may return a picture
MAX_MARKS_CHARS = 2 << 20  # for a whole timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStart:
    """A call that has begun.

    Attributes:
        call_id: its id, unique for ever.
        started_ms: when the offer was accepted.
        model: the model that answers.
        direction: ``outbound`` if the agent called.
        caller: the caller's number or address, if known.
        callee: the number or address that was called, if known.
        codec: the codec of the caller's voice.
        trace_id: the trace that the call is part of, as 32 hexadecimal digits.
    """

    call_id: str
    started_ms: int
    model: str
    direction: Literal["inbound", "outbound"] = "inbound"
    caller: str | None = None
    callee: str | None = None
    codec: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A final turn.

    Attributes:
        turn_id: its id, unique within the call.
        speaker: who spoke.
        started_ms: when it began.
        ended_ms: when its last word was heard.
        text: what was said; for the agent, the part of it that was heard.
        unheard: what the agent would have said had it not been interrupted.
        interrupted: True if the caller interrupted it.
        estimated: True if the point where the text is cut is an estimate.
        typed: True if the caller typed it.
        response_ms: how long the caller waited for it; None for the caller's own turns.
    """

    turn_id: str
    speaker: Literal["caller", "agent"]
    started_ms: int
    ended_ms: int
    text: str = field(repr=False)
    unheard: str = field(default="", repr=False)
    interrupted: bool = False
    estimated: bool = False
    typed: bool = False
    response_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A finished tool call.

    Attributes:
        key: its id, unique within the call.
        name: the tool's name.
        started_ms: when the model called it.
        ended_ms: when it was answered or cancelled.
        outcome: as in `agent.events.ToolFinished`.
        arguments: a JSON value without the masked fields; None if they are not kept.
        result: what the model was told, in the same form.
    """

    key: str
    name: str
    started_ms: int
    ended_ms: int
    outcome: str
    arguments: Any = field(default=None, repr=False)
    result: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """The end of a call.

    Attributes:
        ended_ms: when it ended.
        reason: as in `agent.events.CallEnded`.
        detail: one sentence for a person.
        fault: who caused the end.
        state: ``crashed`` if the call's process died before the call ended.
        codec: the codec of the caller's voice; None leaves what was noted at the start.
        turns: how often somebody took the floor.
        interruptions: how often the agent's speech was cut off.
        cost_usd: by the price list; None if the model's price is not known.
        tokens: token counts by direction and modality.
        stats: the call's counters.
        marks: what happened when, oldest first; each has at least ``name`` and ``at_ms``.
        mos_in: estimated mean opinion score of the caller's audio, 1 to 5.
        mos_out: the same for the audio that the caller received.
    """

    ended_ms: int
    reason: str
    detail: str
    fault: Fault
    state: Literal["ended", "crashed"] = "ended"
    codec: str | None = None
    turns: int = 0
    interruptions: int = 0
    cost_usd: float | None = None
    tokens: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[Mapping[str, Any]] = ()
    mos_in: float | None = None
    mos_out: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The state of a call's recording.

    Attributes:
        state: ``stored`` once it can be fetched.
        key: its key in the store; see `signaling.history.objects.recording_key`.
        duration_ms: its length.
        size_bytes: the size of its file.
        lost_ms: how much of it is silent because packets were dropped.
        cut_off: True if it ends where its process was killed.
    """

    state: RecordingState
    key: str | None = None
    duration_ms: int | None = None
    size_bytes: int | None = None
    lost_ms: int = 0
    cut_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A model's summary of an ended call; see `agent.summary.CallSummarised`.

    Attributes:
        state: ``done`` only if everything requested is there and fits the agent's schema.
        model: the model that was asked.
        summary: what happened in the call.
        data: the extracted data, as a JSON value.
        reason: why the summary failed.
        detail: the reason as a sentence.
        cost_usd: what the summary cost; None if the model's price is not known.
    """

    state: Literal["done", "failed"]
    model: str
    summary: str | None = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)
    reason: str | None = None
    detail: str = ""
    cost_usd: float | None = None


CRASHED = ("crashed", "The process that served the call ended before the call did.")
"Reason and detail for a call whose process died before the call ended."


def stored_text(text: str) -> str:
    """Return a text that every database accepts: PostgreSQL cannot store U+0000."""
    return valid_text(text).replace("\0", "�")


def stored_number(value: float | None) -> float | None:
    """Return a number, or None if JSON cannot represent it."""
    return value if value is not None and math.isfinite(value) else None


def stored_json(value: Any, max_chars: int = MAX_JSON_CHARS) -> str | None:
    """Return a value as JSON text; None stays None.

    A value that is longer than ``max_chars``, or is not JSON, is replaced by a note of what was wrong with it: a
    record without one value is worth more than no record.
    """
    if value is None:
        return None
    try:
        text = json.dumps(_finite(valid_json(value)), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"not_kept": f"no JSON: {type(error).__name__}"})
    return text if len(text) <= max_chars else json.dumps({"not_kept": f"{len(text)} characters"})


def _finite(value: Any) -> Any:
    match value:
        case float():
            return stored_number(value)
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list():
            return [_finite(inner) for inner in value]
        case Mapping():
            return _finite(dict(value))
        case _:
            return value
