"""What is kept of a call, as frozen values; whoever watches calls makes them. Pure.

Times are Unix milliseconds. Texts are what people said: they are neither logged nor shown in a `repr`.
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
"""``crashed``: the process that had the call was gone before the call had ended."""

RecordingState = Literal["off", "writing", "stored", "failed"]

MAX_JSON_CHARS = 256 << 10  # of one value: a tool may return a picture
MAX_MARKS_CHARS = 2 << 20  # of all that a timeline holds


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStart:
    """A call that has begun.

    Attributes:
        call_id: unique for ever.
        started_ms: when the offer was accepted.
        model: who answers.
        direction: ``outbound`` if the agent called.
        caller: number or address of who calls, if it is known.
        callee: number or address that was called, if it is known.
        codec: of the caller's voice.
        trace_id: of the trace that the call is part of, 32 hexadecimal digits.
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
    """A turn that is final.

    Attributes:
        turn_id: unique in the call.
        speaker: whose it was.
        started_ms: when it began.
        ended_ms: when its last word was heard.
        text: what was said; of the agent, what was heard of it.
        unheard: what the agent would have said had it not been interrupted.
        interrupted: True if the caller interrupted it.
        estimated: True if where the text was cut is an estimate.
        typed: True if the caller typed it.
        response_ms: how long the caller waited for it; None for the caller's own.
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
    """A tool call that is over.

    Attributes:
        key: unique in the call.
        name: the tool's name.
        started_ms: when the model called it.
        ended_ms: when it was answered or cancelled.
        outcome: as in `agent.events.ToolFinished`.
        arguments: what JSON can hold, with what is masked already left out; None if they are not kept.
        result: the same of what the model was told.
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
    """A call that is over.

    Attributes:
        ended_ms: when.
        reason: as in `agent.events.CallEnded`.
        detail: one sentence for a person.
        fault: whose doing it was.
        state: ``crashed`` if nobody saw it end.
        turns: how often somebody took the floor.
        interruptions: how often what the agent said was cut off.
        cost_usd: by the price list; None if the model's price is not known.
        tokens: by direction and modality.
        stats: the call's counters.
        marks: what happened when, oldest first: each with at least ``name`` and ``at_ms``.
        mos_in: mean opinion score of what came from the caller, 1 to 5: an estimate.
        mos_out: the same of what the caller got.
    """

    ended_ms: int
    reason: str
    detail: str
    fault: Fault
    state: Literal["ended", "crashed"] = "ended"
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
    """How far a call's recording is.

    Attributes:
        state: ``stored`` once it can be fetched.
        key: where in the store; see `signaling.history.objects.recording_key`.
        duration_ms: its length.
        size_bytes: of the file.
        lost_ms: of it that is silent because packets were dropped.
    """

    state: RecordingState
    key: str | None = None
    duration_ms: int | None = None
    size_bytes: int | None = None
    lost_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a model said of a call that is over; see `agent.summary.CallSummarised`.

    Attributes:
        state: ``done`` only if everything that was wanted is there and fits the agent's schema.
        model: which model was asked.
        summary: what happened.
        data: what was extracted, as JSON holds it.
        reason: why it failed.
        detail: the same in one sentence.
        cost_usd: what it cost; None if the model's price is not known.
    """

    state: Literal["done", "failed"]
    model: str
    summary: str | None = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)
    reason: str | None = None
    detail: str = ""
    cost_usd: float | None = None


CRASHED = ("crashed", "The process that served the call ended before the call did.")
"Reason and detail of a call that nobody saw end."


def stored_text(text: str) -> str:
    """Return a text as every database takes it: PostgreSQL has no character 0."""
    return valid_text(text).replace("\0", "�")


def stored_number(value: float | None) -> float | None:
    """Return a number, or None for what JSON has no word for."""
    return value if value is not None and math.isfinite(value) else None


def stored_json(value: Any, max_chars: int = MAX_JSON_CHARS) -> str | None:
    """Return a value as JSON text; None stays None.

    What is longer than ``max_chars``, or no JSON, is replaced by what was wrong with it: a record that lacks one
    value is worth more than none.
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
