"""What is told of a call, and when it is told again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.history.outbox import (
    DELAYS_S,
    MAX_RETRY_AFTER_S,
    MESSAGE_TYPES,
    Message,
    Outcome,
    ended_message,
    next_step,
    pause_s,
    read_retry_after,
    recording_message,
    started_message,
    summary_message,
)
from signaling.history.record import CallEnd, CallStart, Recording, Summary
from tests.support.history import BEGAN_MS, call, end

SCHEMA = Path(__file__).parents[3] / "docs" / "webhooks.schema.json"
MAX_BODY_BYTES = 20_000  # that receivers should expect, says the standard

texts = st.none() | st.text() | st.just("\ud83d" * 5000) | st.just("\1" * 5000)
times = st.integers(0, 4_000_000_000_000)
calls = st.builds(
    CallStart,
    call_id=st.from_regex(r"rtc_[A-Za-z0-9_-]{22}", fullmatch=True),
    started_ms=times,
    model=st.text(),
    direction=st.sampled_from(["inbound", "outbound"]),
    caller=texts,
    callee=texts,
    trace_id=st.none() | st.from_regex("[0-9a-f]{32}", fullmatch=True),
)
ends = st.builds(
    CallEnd,
    ended_ms=times,
    reason=st.text(),
    detail=st.text(),
    fault=st.sampled_from(["caller", "agent", "operator", "live", "network"]),
    state=st.sampled_from(["ended", "crashed"]),
    turns=st.integers(0, 10**6),
    interruptions=st.integers(0, 10**6),
    cost_usd=st.none() | st.floats(min_value=0),
    tokens=st.dictionaries(st.sampled_from(["prompt", "response"]), st.dictionaries(st.text(), st.integers(0))),
    mos_in=st.none() | st.floats(1, 5) | st.just(float("nan")),
    mos_out=st.none() | st.floats(1, 5),
)
recordings = st.builds(
    Recording,
    state=st.just("stored"),
    key=st.text(),
    duration_ms=st.none() | st.integers(0, 10**9),
    size_bytes=st.none() | st.integers(0, 10**12),
    lost_ms=st.integers(0, 10**9),
    cut_off=st.booleans(),
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)
summaries = st.builds(
    Summary,
    state=st.sampled_from(["done", "failed"]),
    model=st.text(),
    summary=st.none()
    | st.text()
    | st.builds(lambda text, times: text * times, st.text(max_size=3), st.integers(0, 9000)),
    data=values,
    reason=st.none() | st.text(),
    detail=st.text(),
    cost_usd=st.none() | st.floats(0, 100),
)


@cache
def schema() -> jsonschema.protocols.Validator:
    described = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(described)
    return jsonschema.Draft202012Validator(described, format_checker=jsonschema.FormatChecker())


def body(message: Message) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(message.body)
    return read


@given(calls, ends, recordings, summaries, times)
def test_every_message_is_as_it_is_documented(
    of: CallStart, e: CallEnd, r: Recording, s: Summary, now_ms: int
) -> None:
    for message in (
        started_message("msg_1", of),
        ended_message("msg_2", of, e, now_ms),
        recording_message("msg_3", of, r, now_ms),
        summary_message("msg_4", of, s, now_ms),
    ):
        schema().validate(body(message))
        assert len(message.body.encode()) < MAX_BODY_BYTES


def properties(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "properties" in part:
            yield part
        for inner in part.values():
            yield from properties(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from properties(inner)


def test_the_documentation_allows_nothing_else() -> None:
    described = json.loads(SCHEMA.read_text(encoding="utf-8"))
    listed = {kind["properties"]["type"]["const"] for kind in described["oneOf"]}
    assert listed == set(MESSAGE_TYPES)
    told = body(ended_message("msg_1", call(), end(call()), BEGAN_MS))
    schema().validate(told)
    for wrong in (
        told | {"type": "call.begun"},
        told | {"more": 1},
        told | {"data": told["data"] | {"transcript": "hello"}},
        told | {"data": {name: value for name, value in told["data"].items() if name != "reason"}},
        told | {"timestamp": "yesterday"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            schema().validate(wrong)


def test_what_is_told_of_a_call() -> None:
    of = replace(call(7), direction="outbound")
    ended = end(of, cost_usd=0.0123, tokens={"prompt": {"AUDIO": 1500}}, turns=4, mos_in=4.4)
    assert body(ended_message("msg_1", of, ended, BEGAN_MS + 10 * 60_000)) == {
        "type": "call.ended",
        "timestamp": "2026-09-21T14:23:20.000Z",
        "data": {
            "call_id": "rtc_000007",
            "direction": "outbound",
            "caller": "+4930123456",
            "callee": "sip:agent@localhost",
            "model": "gemini-3.8-live",
            "trace_id": None,
            "started_at": "2026-09-21T14:20:20.000Z",
            "ended_at": "2026-09-21T14:21:02.000Z",
            "duration_s": 42.0,
            "state": "ended",
            "reason": "hung_up",
            "detail": "The caller hung up.",
            "fault": "caller",
            "turns": 4,
            "interruptions": 0,
            "cost_usd": 0.0123,
            "tokens": {"prompt": {"AUDIO": 1500}},
            "mos_in": 4.4,
            "mos_out": None,
            "history": "/v1/history/rtc_000007",
        },
    }


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_success_is_success(status: int) -> None:
    assert next_step(1, Outcome(status=status), 0.0).done
    assert pause_s(Outcome(status=status, retry_after_s=9.0), 1) == 0


@pytest.mark.parametrize("outcome", [*(Outcome(status=s) for s in (100, 301, 307, 400, 404, 410, 500)), Outcome()])
def test_it_is_tried_again_after_the_delays_of_the_standard(outcome: Outcome) -> None:
    waits = [next_step(attempts, outcome, 0.0) for attempts in range(1, len(DELAYS_S) + 1)]
    assert [step.wait_s for step in waits[:-1]] == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert [step.done for step in waits] == [False] * 9 + [True]


@given(st.integers(1, 9), st.floats(-1, 1), st.none() | st.floats(0, 1e9))
def test_a_delay_is_never_shorter_than_the_receiver_asks(
    attempts: int, jitter: float, asked_s: float | None
) -> None:
    step = next_step(attempts, Outcome(status=503, retry_after_s=asked_s), jitter)
    assert 0.8 * DELAYS_S[attempts] <= step.wait_s or step.wait_s == asked_s
    assert step.wait_s >= min(asked_s or 0, MAX_RETRY_AFTER_S)
    assert step.wait_s <= max(1.2 * DELAYS_S[attempts], MAX_RETRY_AFTER_S)


@pytest.mark.parametrize(
    ("status", "retry_after_s", "pauses_s"),
    [
        (429, None, [5, 30, 60, 300, 300]),
        (502, None, [5, 30, 60, 300, 300]),
        (504, None, [5, 30, 60, 300, 300]),
        (503, 7.0, [7, 7]),
        (500, None, [0, 0]),
        (500, 7.0, [7]),
        (None, None, [0]),
    ],
)
def test_a_receiver_that_says_it_is_too_much_is_left_alone(
    status: int | None, retry_after_s: float | None, pauses_s: list[float]
) -> None:
    outcome = Outcome(status=status, retry_after_s=retry_after_s)
    assert [pause_s(outcome, row + 1) for row in range(len(pauses_s))] == pauses_s


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("Mon, 21 Sep 2026 14:13:30 GMT", 10),
        ("Mon, 21 Sep 2026 14:13:10 GMT", 0),
        ("Mon, 21 Sep 2026 14:13:30", 10),
        ("99999999999999999999", MAX_RETRY_AFTER_S),
        ("Mon, 21 Sep 9999 14:13:30 GMT", MAX_RETRY_AFTER_S),
        ("-5", None),
        ("soon", None),
        ("١٢", None),
        ("", None),
    ],
)
def test_retry_after_is_read(header: str | None, wait_s: float | None) -> None:
    assert read_retry_after(header, BEGAN_MS / 1000) == wait_s


@given(st.text())
def test_any_retry_after_can_be_read(header: str) -> None:
    wait_s = read_retry_after(header, BEGAN_MS / 1000)
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S
