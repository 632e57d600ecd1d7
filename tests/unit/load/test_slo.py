"""Objectives: their names, verdicts and exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import ConfigError
from signaling.load.distribution import distribute
from signaling.load.figures import FIGURES
from signaling.load.slo import COUNTED, DEFAULTS, Objective, exit_code, judge, objectives, parse


def measured(**given: Any) -> dict[str, Any]:
    counts: dict[str, Any] = dict.fromkeys(COUNTED, 0.0) | {"samples": dict.fromkeys(COUNTED, 0)}
    figures = {figure.name: distribute(()).as_json() for figure in FIGURES}
    for name, value in given.items():
        if name in COUNTED:
            counts[name], counts["samples"][name] = value, 100
        else:
            figures[name] = distribute(value).as_json()
    return {"counts": counts, "figures": figures}


def verdict(name: str, limit: float, *, asked: bool = True, invalid: str = "", **given: Any) -> str:
    found: str = judge(Objective(name, limit, asked), measured(**given), invalid)["verdict"]
    return found


def test_a_limit_is_reached_or_not_exceeded() -> None:
    assert verdict("response_p95_ms", 500, response_ms=[100.0] * 19 + [900.0]) == "pass"
    assert verdict("response_p95_ms", 500, response_ms=[100.0] * 18 + [900.0] * 2) == "fail"
    assert verdict("set_up_pct", 99.5, set_up_pct=99.5) == "pass"
    assert verdict("set_up_pct", 99.5, set_up_pct=99.4) == "fail"
    assert verdict("mos_wide_p95", 4.0, mos_wide=[4.2] * 20) == "pass"
    assert verdict("missing_replies", 0, missing_replies=1) == "fail"


def test_an_answer_that_never_came_is_worse_than_any_limit() -> None:
    assert verdict("response_max_ms", 1e9, response_ms=[100.0, None]) == "fail"
    assert verdict("response_p50_ms", 200, response_ms=[100.0, None]) == "pass"


def test_what_was_not_measured_is_invalid_only_if_it_was_asked_for() -> None:
    assert verdict("stop_p95_ms", 200, asked=False) == "not measured"
    assert verdict("stop_p95_ms", 200, asked=True) == "invalid"


def test_a_late_generator_makes_everything_invalid() -> None:
    assert verdict("set_up_pct", 99.5, set_up_pct=10.0, invalid="the generator was late") == "invalid"


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["pass", "not measured"], 0),
        (["pass", "fail"], 1),
        (["fail", "invalid"], 3),
        (["pass", "invalid"], 3),
    ],
)
def test_the_exit_code(verdicts: list[str], code: int) -> None:
    assert exit_code([{"verdict": each} for each in verdicts]) == code


def test_what_is_given_goes_before_the_defaults() -> None:
    found = {each.name: each for each in objectives(parse(["stop_p95_ms = 400", "lost_pct=1"], "--slo"))}
    assert set(found) == {*DEFAULTS, "lost_pct"}
    assert (found["stop_p95_ms"].limit, found["stop_p95_ms"].asked) == (400, True)
    assert not found["late_pct"].asked


@pytest.mark.parametrize("text", ["stop_p95_ms", "stop_p95_ms=", "stop_p95_ms=fast", "=3"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        objectives(parse([text], "--slo"))


@pytest.mark.parametrize(
    "text", ["stop_p80_ms=1", "nothing_p95_ms=1", "response_p95=1", "late_pct=nan", "late_pct=-1"]
)
def test_unknown_names_and_impossible_limits_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--slo"):
        objectives(parse([text], "--slo"))
