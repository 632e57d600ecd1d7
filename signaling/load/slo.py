"""Service level objectives: their names, their defaults for a voice service, and whether they hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import ConfigError
from signaling.load.figures import BY_NAME

Verdict = Literal["pass", "fail", "invalid", "not measured"]


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective.

    Attributes:
        name: a key of `Counted`, or a figure with a percentile, such as ``response_p95_ms``.
        limit: what the value must reach or not exceed.
        asked: it was given by the user; then it must have been measured.
    """

    name: str
    limit: float
    asked: bool = False

    @property
    def at_least(self) -> bool:
        """True if a higher value is better."""
        return self.name in AT_LEAST or self.name.startswith("mos_")


COUNTED = {
    "set_up_pct": "calls that were set up, of those offered",
    "completed_pct": "calls that went to their end, of those set up",
    "late_pct": "agent's packets more than 60 ms late",
    "lost_pct": "agent's packets that did not come",
    "missing_replies": "answers that never came",
    "missing_words": "words of the caller's that were not transcribed",
    "unmet_expectations": "expectations of the scenarios that did not hold",
}
AT_LEAST = ("set_up_pct", "completed_pct")
DEFAULTS = {
    "set_up_pct": 99.5,
    "greeting_p95_ms": 1500.0,
    "added_p95_ms": 50.0,
    "stop_p95_ms": 200.0,
    "late_pct": 0.1,
    "completed_pct": 99.9,
    "missing_replies": 0.0,
}
_PERCENTILE = re.compile(r"(?P<figure>\w+?)_(?P<at>p50|p90|p95|p99|max)(?P<unit>_ms)?")


def place_of(name: str) -> tuple[str, str] | None:
    """Return the figure and the percentile that an objective is about; None if it is a counted one or unknown."""
    found = _PERCENTILE.fullmatch(name)
    if found is None or found["figure"] + (found["unit"] or "") not in BY_NAME:
        return None
    return found["figure"] + (found["unit"] or ""), found["at"]


def objectives(given: Mapping[str, float]) -> list[Objective]:
    """Return the default objectives, changed and added to by those that are given.

    Raises:
        ConfigError: there is no objective of that name, or its limit is impossible.
    """
    for name, limit in given.items():
        if name not in COUNTED and place_of(name) is None:
            known = ", ".join([*COUNTED, *(f"{figure.removesuffix('_ms')}_p95…" for figure in BY_NAME)])
            raise ConfigError(f"--slo {name}: there is no such objective; there are {known} (docs/load-testing.md)")
        if not limit >= 0:
            raise ConfigError(f"--slo {name}={limit:g}: the limit must be 0 or more")
    named = {name: Objective(name, limit) for name, limit in DEFAULTS.items()}
    named.update({name: Objective(name, limit, asked=True) for name, limit in given.items()})
    return list(named.values())


def parse(texts: Sequence[str], where: str) -> dict[str, float]:
    """Return what ``NAME=VALUE`` texts say.

    Args:
        texts: the options or lines.
        where: they come from; for the message.

    Raises:
        ConfigError: one is not of that form.
    """
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            given[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"{where}: {text!r} must be NAME=NUMBER, such as response_p95_ms=1200")
    return given


def judge(objective: Objective, measured: Mapping[str, Any], invalid: str) -> dict[str, Any]:
    """Return an objective's row of the report.

    Args:
        objective: what should hold.
        measured: the report's ``counts`` and ``figures``.
        invalid: why the test says nothing about the service; empty if it does.
    """
    place = place_of(objective.name)
    if place is None:
        samples, value = measured["counts"]["samples"][objective.name], measured["counts"][objective.name]
        title = COUNTED[objective.name]
    else:
        figure, at = place
        spread = measured["figures"][figure]
        samples, value = spread["count"], spread[at]
        title = f"{BY_NAME[figure].title}, {at}"
    verdict: Verdict
    if invalid:
        verdict = "invalid"
    elif not samples:
        verdict = "invalid" if objective.asked else "not measured"
    elif value is None:
        verdict = "fail"
    else:
        verdict = (
            "pass" if (value >= objective.limit if objective.at_least else value <= objective.limit) else "fail"
        )
    return {
        "name": objective.name,
        "title": title,
        "limit": objective.limit,
        "at_least": objective.at_least,
        "value": value,
        "samples": samples,
        "verdict": verdict,
    }


def exit_code(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return 0 if all objectives hold, 1 if one does not, 3 if the test says nothing about one."""
    verdicts = {row["verdict"] for row in rows}
    return 3 if "invalid" in verdicts else 1 if "fail" in verdicts else 0
