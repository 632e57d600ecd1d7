"""The messages about calls for other services, by Standard Webhooks 1.0, and when to retry them.

A message holds nothing that was said, only where that can be fetched; the one exception is the summary that an
agent's file asks for. docs/webhooks.schema.json describes the bodies.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, get_args

from agent.unicode import valid_json
from signaling.history.record import CallEnd, CallStart, Recording, Summary, stored_number, stored_text

MessageType = Literal["call.started", "call.ended", "call.recording_ready", "call.summarised"]
MESSAGE_TYPES: tuple[MessageType, ...] = get_args(MessageType)
"All message types, in the order in which they occur in a call."

DELAYS_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Delays before each attempt; the first is made at once, and after the last one the message is given up."""

JITTER = 0.2
"""The largest share by which a delay varies, so that messages that failed together are not retried together."""

MAX_RETRY_AFTER_S = 86_400.0
SLOWER_S = (5.0, 30.0, 60.0, 300.0)
"""How long nothing is sent, by how often in a row the receiver has said that it is overloaded."""

TOO_MUCH = (429, 502, 503, 504)
GONE = 410
MAX_TEXT_CHARS = 200  # these three keep a body below the 20 kB that receivers should expect
MAX_SUMMARY_BYTES = 16_000  # for summary and data together; what does not fit is left out
MAX_TOKEN_KINDS = 10
MAX_KIND_CHARS = 32
DIRECTIONS = ("prompt", "response")
HISTORY_PATH = "/v1/history"
RECORDING_PATH = "/v1/calls/{call_id}/recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to be delivered.

    Attributes:
        id: the same in all attempts, so that the receiver recognises a message that it already has.
        type: what happened.
        call_id: the call that it happened to.
        body: the exact text that is signed and sent.
        due_ms: when to send it, in Unix milliseconds.
    """

    id: str
    type: MessageType
    call_id: str
    body: str = field(repr=False)
    due_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of an attempt.

    Attributes:
        status: the HTTP status of the answer; None if there was none.
        error: why there was no answer.
        retry_after_s: how long the receiver asks to be left alone; None if it does not say.
    """

    status: int | None = None
    error: str = ""
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """True if the receiver has accepted the message."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return self.error if self.status is None else f"answered {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do after an attempt.

    Attributes:
        done: True if no further attempt is made.
        wait_s: seconds until the next attempt.
    """

    done: bool
    wait_s: float = 0.0


def started_message(message_id: str, call: CallStart) -> Message:
    """Return the message that a call has begun."""
    return _message(message_id, "call.started", call, call.started_ms, {})


def ended_message(message_id: str, call: CallStart, end: CallEnd, now_ms: int) -> Message:
    """Return the message that a call has ended.

    Args:
        message_id: see `Message`.
        call: the call.
        end: how it ended.
        now_ms: when the message is made, in Unix milliseconds; long after the end if the service had crashed.
    """
    tokens = {
        direction: {kind[:MAX_KIND_CHARS]: count for kind, count in list(kinds.items())[:MAX_TOKEN_KINDS]}
        for direction, kinds in end.tokens.items()
        if direction in DIRECTIONS
    }
    told = {
        "ended_at": _time(end.ended_ms),
        "duration_s": max(0, end.ended_ms - call.started_ms) / 1000,
        "state": end.state,
        "reason": _clipped(end.reason),
        "detail": _clipped(end.detail),
        "fault": end.fault,
        "turns": end.turns,
        "interruptions": end.interruptions,
        "cost_usd": stored_number(end.cost_usd),
        "tokens": tokens,
        "mos_in": stored_number(end.mos_in),
        "mos_out": stored_number(end.mos_out),
        "history": f"{HISTORY_PATH}/{call.call_id}",
    }
    return _message(message_id, "call.ended", call, now_ms, told)


def recording_message(message_id: str, call: CallStart, recording: Recording, now_ms: int) -> Message:
    """Return the message that a call's recording can be fetched."""
    told = {
        "duration_s": (recording.duration_ms or 0) / 1000,
        "size_bytes": recording.size_bytes or 0,
        "lost_s": recording.lost_ms / 1000,
        "recording": RECORDING_PATH.format(call_id=call.call_id),
    }
    return _message(message_id, "call.recording_ready", call, now_ms, told)


def summary_message(message_id: str, call: CallStart, summary: Summary, now_ms: int) -> Message:
    """Return the message with a call's summary; what is too long is left out, and the message says so."""
    said = valid_json({"summary": summary.summary, "data": summary.data})
    fits = len(json.dumps(said, ensure_ascii=False).encode()) <= MAX_SUMMARY_BYTES
    told = {
        **(said if fits else {"summary": None, "data": None}),
        "left_out": not fits,
        "state": summary.state,
        "reason": _clipped(summary.reason),
        "detail": _clipped(summary.detail),
        "summary_model": _clipped(summary.model),
        "summary_cost_usd": stored_number(summary.cost_usd),
        "history": f"{HISTORY_PATH}/{call.call_id}",
    }
    return _message(message_id, "call.summarised", call, now_ms, told)


def next_step(attempts: int, outcome: Outcome, jitter: float, delays_s: tuple[float, ...] = DELAYS_S) -> Step:
    """Return what to do after an attempt.

    Args:
        attempts: the number of attempts made so far, including this one.
        outcome: the outcome of this attempt.
        jitter: a random number from -1 to 1.
        delays_s: see `DELAYS_S`.
    """
    if outcome.delivered or attempts >= len(delays_s):
        return Step(done=True)
    wait_s = delays_s[attempts] * (1 + JITTER * jitter)
    return Step(done=False, wait_s=max(wait_s, min(outcome.retry_after_s or 0.0, MAX_RETRY_AFTER_S)))


def pause_s(outcome: Outcome, in_a_row: int) -> float:
    """Return how long to send nothing to a receiver that is overloaded or has said how long to wait.

    Args:
        outcome: the outcome of the latest attempt.
        in_a_row: how often it has said so since it last accepted a message, including this time.
    """
    if outcome.delivered:
        return 0.0
    if outcome.retry_after_s is not None:
        return min(outcome.retry_after_s, MAX_RETRY_AFTER_S)
    if outcome.status in TOO_MUCH:
        return SLOWER_S[min(max(in_a_row, 1), len(SLOWER_S)) - 1]
    return 0.0


def read_retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110 section 10.2.3); None if there are none.

    Args:
        header: untrusted; seconds or a date.
        now: Unix seconds.
    """
    if header is None:
        return None
    header = header.strip()[:64]
    if header.isascii() and header.isdigit():
        return min(float(header), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(header)
        wait_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _message(message_id: str, kind: MessageType, call: CallStart, now_ms: int, told: dict[str, Any]) -> Message:
    about = {
        "call_id": call.call_id,
        "direction": call.direction,
        "caller": _clipped(call.caller),
        "callee": _clipped(call.callee),
        "model": _clipped(call.model),
        "started_at": _time(call.started_ms),
        "trace_id": _clipped(call.trace_id),
    }
    body = {"type": kind, "timestamp": _time(now_ms), "data": about | told}
    return Message(
        id=message_id,
        type=kind,
        call_id=call.call_id,
        body=json.dumps(valid_json(body), separators=(",", ":"), ensure_ascii=False, allow_nan=False),
        due_ms=now_ms,
    )


def _clipped(text: str | None) -> str | None:
    return None if text is None else stored_text(text[:MAX_TEXT_CHARS])


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
