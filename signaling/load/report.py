"""The report of a load test as one JSON value. Pure; docs/load-testing.md describes each field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from signaling.load.distribution import distribute
from signaling.load.figures import FIGURES, Measured, measure, missing_replies
from signaling.load.generator import Generated
from signaling.load.record import COMPLETED, STOPPED, CallRecord
from signaling.load.server import Scrape, lag_percentile_ms
from signaling.load.slo import Objective, exit_code, judge

VERSION = 1
LATE_P99_MS = 10.0  # packets of a generator that are later make the test invalid
BUCKETS = 60
MAX_TIMELINES = 1000

Measurements = Mapping[str, Sequence[Measured]]


def build(
    done: Generated, scrapes: Sequence[Scrape], objectives: Sequence[Objective], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the report.

    Args:
        done: what was generated.
        scrapes: the service's own metrics.
        objectives: what should hold.
        about: what was asked for; stands in the report as it is.
    """
    records = sorted(done.records, key=lambda record: record.offered_at)
    measured = [measure(record) for record in records]
    seconds = max(done.ended - done.began, 1e-3)
    whole = _summary(records, measured)
    late_p99_ms = done.lateness.percentile_ms(0.99)
    invalid = _invalid(late_p99_ms, records)
    rows = [judge(objective, whole, invalid) for objective in objectives]
    code = exit_code(rows)
    return {
        "version": VERSION,
        "about": dict(about),
        "seconds": round(seconds, 1),
        "verdict": {0: "passed", 1: "failed", 3: "invalid"}[code],
        "exit_code": code,
        "invalid": invalid,
        "slos": rows,
        "titles": {figure.name: figure.title for figure in FIGURES},
        **whole,
        "by_scenario": _by_scenario(records, measured),
        "over_time": _over_time(records, measured, done, seconds),
        "server": _server(scrapes, done.began),
        "generator": {
            "late_p99_ms": round(late_p99_ms, 2),
            "late_max_ms": round(done.lateness.percentile_ms(1.0), 2),
            "packets": done.lateness.total,
            "cpu_pct": round(100 * done.cpu_s / seconds, 1),
            "cpu_pct_per_call": _per_call(done, seconds),
            "samples": [
                {
                    "at_s": round(sample.at - done.began, 1),
                    "up": sample.up,
                    "late_p99_ms": round(sample.late_p99_ms, 2),
                    "late_max_ms": round(sample.late_max_ms, 2),
                    "cpu_pct": round(sample.cpu_pct, 1),
                }
                for sample in done.samples
            ],
        },
        "calls": [
            _call(record, found, done.began)
            for record, found in list(zip(records, measured, strict=True))[:MAX_TIMELINES]
        ],
    }


def _invalid(late_p99_ms: float, records: Sequence[CallRecord]) -> str:
    if not records:
        return "no call was made"
    if late_p99_ms > LATE_P99_MS:
        return (
            f"the generator itself was late: 1 % of its packets left more than {late_p99_ms:.0f} ms after "
            f"their time (at most {LATE_P99_MS:.0f} ms); use --processes, fewer calls, or a machine of its own"
        )
    return ""


def _summary(records: Sequence[CallRecord], measured: Sequence[Measurements]) -> dict[str, Any]:
    """Return the counts and figures of some calls."""
    return {
        "counts": _counts(records),
        "outcomes": dict(Counter(record.outcome for record in records).most_common()),
        "figures": {
            figure.name: distribute(
                (value.value for found in measured for value in found[figure.name]),
                higher_is_better=figure.higher_is_better,
            ).as_json()
            for figure in FIGURES
        },
    }


def _counts(records: Sequence[CallRecord]) -> dict[str, Any]:
    judged = [record for record in records if record.set_up or record.outcome != STOPPED]
    up = [record for record in records if record.set_up]
    over = [record for record in up if record.outcome != STOPPED]
    completed = sum(record.outcome == COMPLETED for record in over)
    received = sum(record.received for record in up)
    lost = sum(record.lost for record in up)
    late = sum(record.late for record in up)
    replies = sum(turn.wants_reply for record in up for turn in record.turns)
    words = sum(record.words for record in up)
    return {
        "offered": len(judged),
        "set_up": len(up),
        "completed": completed,
        "failed": sum(not record.set_up for record in judged),
        "dropped": len(over) - completed,
        "stopped": sum(record.outcome == STOPPED for record in records),
        "packets": received,
        "late_packets": late,
        "lost_packets": lost,
        "replies_wanted": replies,
        "missing_replies": sum(map(missing_replies, up)),
        "words": words,
        "missing_words": sum(record.words_missing for record in up),
        "unmet_expectations": sum(len(record.unmet) for record in up),
        "set_up_pct": _pct(len(up), len(judged)),
        "completed_pct": _pct(completed, len(over)),
        "late_pct": _pct(late, received),
        "lost_pct": _pct(lost, received + lost),
        "samples": {
            "set_up_pct": len(judged),
            "completed_pct": len(over),
            "late_pct": received,
            "lost_pct": received + lost,
            "missing_replies": replies,
            "missing_words": words,
            "unmet_expectations": len(up),
        },
    }


def _pct(part: float, whole: float) -> float:
    return round(100 * part / whole, 4) if whole else 0.0


def _by_scenario(records: Sequence[CallRecord], measured: Sequence[Measurements]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted({record.scenario for record in records}):
        own = [index for index, record in enumerate(records) if record.scenario == name]
        found[name] = _summary([records[index] for index in own], [measured[index] for index in own])
    return found


def _over_time(
    records: Sequence[CallRecord], measured: Sequence[Measurements], done: Generated, seconds: float
) -> list[dict[str, Any]]:
    """Return the figures in slices of time, each value where it was measured."""
    slice_s = max(1.0, seconds / BUCKETS)
    values: dict[int, dict[str, list[float | None]]] = {}
    for found in measured:
        for name, each in found.items():
            for value in each:
                slot = values.setdefault(int(max(value.at - done.began, 0.0) / slice_s), {})
                slot.setdefault(name, []).append(value.value)
    offered = Counter(int(max(record.offered_at - done.began, 0.0) / slice_s) for record in records)
    failed = Counter(
        int(max((record.ended_at or record.offered_at) - done.began, 0.0) / slice_s)
        for record in records
        if record.outcome not in (COMPLETED, STOPPED)
    )
    return [
        {
            "at_s": round(index * slice_s, 1),
            "offered": offered[index],
            "failed": failed[index],
            "figures": {
                figure.name: distribute(
                    values.get(index, {}).get(figure.name, ()), higher_is_better=figure.higher_is_better
                ).as_json()
                for figure in FIGURES
                if figure.name in values.get(index, {})
            },
        }
        for index in range(int(seconds / slice_s) + 1)
    ]


def _server(scrapes: Sequence[Scrape], began: float) -> list[dict[str, Any]]:
    rows = []
    for before, after in pairwise(scrapes):
        past, now, took_s = before.values, after.values, after.at - before.at
        row: dict[str, Any] = {"at_s": round(after.at - began, 1)}
        if "cpu_s" in now and "cpu_s" in past:
            row["cpu_pct"] = round(100 * (now["cpu_s"] - past["cpu_s"]) / took_s, 1)
        if "memory_bytes" in now:
            row["memory_mb"] = round(now["memory_bytes"] / 1e6, 1)
        lag_ms = lag_percentile_ms(before.lag, after.lag, 0.95)
        if lag_ms is not None:
            row["loop_lag_p95_ms"] = lag_ms
        for name in ("calls", "pending", "overloaded"):
            if name in now:
                row[name] = int(now[name])
        for name in ("admitted", "refused", "sent_packets", "late_packets"):
            if name in now:
                row[name] = int(now[name] - past.get(name, 0.0))
        rows.append(row)
    return rows


def _per_call(done: Generated, seconds: float) -> float | None:
    """Return what share of a core a caller costs on average while it is on the line."""
    call_s = sum(
        max(0.0, (record.ended_at or 0.0) - record.connected_at) for record in done.records if record.connected_at
    )
    return round(100 * done.cpu_s / call_s, 3) if call_s > 1 else None


def _call(record: CallRecord, found: Measurements, began: float) -> dict[str, Any]:
    """Return one call with its timeline; times are seconds since the test began."""

    def at(moment: float | None) -> float | None:
        return None if moment is None else round(moment - began, 3)

    return {
        "number": record.number,
        "scenario": record.scenario,
        "outcome": record.outcome,
        "detail": record.detail,
        "offered_at_s": at(record.offered_at),
        "answered_at_s": at(record.answered_at),
        "connected_at_s": at(record.connected_at),
        "first_packet_at_s": at(record.first_packet_at),
        "ended_at_s": at(record.ended_at),
        "packets": record.received,
        "late_packets": record.late,
        "lost_packets": record.lost,
        "unmet": record.unmet,
        "figures": {
            name: [None if value.value is None else round(value.value, 1) for value in values]
            for name, values in found.items()
            if values
        },
        "turns": [
            [at(turn.started_at), at(turn.ended_at), turn.barges_in, turn.wants_reply] for turn in record.turns
        ],
        "talks": [[at(talk.started_at), at(talk.ended_at)] for talk in record.talks],
        "gaps": [[at(gap.started_at), at(gap.ended_at)] for gap in record.gaps],
        "marks": [[at(moment), name] for moment, name in record.marks],
    }
