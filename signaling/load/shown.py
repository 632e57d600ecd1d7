"""Outcomes as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from signaling.load.outcome import Outcome

MARKS = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """Yield a line for the scenario, and, unless everything holds, its steps and its timeline."""
    mark = "ok  " if outcome.passed else "FAIL" if outcome.error is None else "ERR "
    yield f"{mark} {outcome.name} ({outcome.took_s:.1f} s)"
    if outcome.error is not None:
        yield f"     {outcome.error}"
    if outcome.passed:
        return
    for step in outcome.steps:
        yield f"     {MARKS[step.state]} line {step.line}: {step.what}{f': {step.detail}' if step.detail else ''}"
    if outcome.timeline:
        yield "     what happened, in seconds since the scenario began:"
        yield from (f"       {line}" for line in timeline_lines(outcome))
    if outcome.recording is not None:
        yield f"     recording: {outcome.recording}"


def timeline_lines(outcome: Outcome) -> Iterator[str]:
    """Yield a line for everything that happened."""
    for entry in outcome.timeline:
        what = "".join(letter if letter.isprintable() else " " for letter in entry.what)
        yield f"{entry.at_s:7.2f} {entry.who:7} {what}"


def summary_line(outcomes: Sequence[Outcome]) -> str:
    """Return how many hold."""
    passed = sum(outcome.passed for outcome in outcomes)
    errors = sum(outcome.error is not None for outcome in outcomes)
    failed = len(outcomes) - passed - errors
    return f"{passed} passed, {failed} failed, {errors} could not be played"
