"""What is told of outcomes: lines, JUnit XML, exit codes, names of files."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from signaling.load.junit import junit
from signaling.load.outcome import Outcome, StepOutcome, TimelineEntry, exit_code
from signaling.load.run import file_name
from signaling.load.shown import outcome_lines, summary_line


def good(name: str = "good") -> Outcome:
    return Outcome(name, [StepOutcome(3, "say hello", "passed", "", 1.5)], took_s=2.0)


def bad() -> Outcome:
    steps = [
        StepOutcome(3, "say hello", "passed", "", 1.5),
        StepOutcome(4, "expect heard: x", "failed", "the agent said: y\x07", 4.0),
        StepOutcome(5, "say <bye>", "skipped", "the call was over", 4.0),
    ]
    timeline = [TimelineEntry(0.5, "agent", "said: y\x1b[2J\ny")]
    return Outcome("bad", steps, timeline, took_s=5.0, recording="rec/bad.wav")


def broken() -> Outcome:
    return Outcome("broken", error="the service cannot be reached", took_s=0.1)


def test_junit_has_a_case_for_each_step() -> None:
    root = Xml.fromstring(junit([good(), bad(), broken()]))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    suites = {suite.get("name"): suite for suite in root}
    assert [case.get("name") for case in suites["bad"].iter("testcase")] == [
        "line 3: say hello",
        "line 4: expect heard: x",
        "line 5: say <bye>",
    ]
    [failure] = suites["bad"].iter("failure")
    assert failure.get("message") == "the agent said: y?"
    [error] = suites["broken"].iter("error")
    assert error.get("message") == "the service cannot be reached"
    assert [case.get("time") for case in suites["bad"].iter("testcase")] == ["1.500", "2.500", "0.000"]
    output = suites["bad"].findtext("system-out") or ""
    assert "0.50 agent   said: y [2J y" in output, "a terminal does not obey what was said"
    assert "rec/bad.wav" in output


def test_lines_tell_all_of_what_failed_and_little_of_what_holds() -> None:
    assert list(outcome_lines(good())) == ["ok   good (2.0 s)"]
    lines = list(outcome_lines(bad()))
    assert lines[0] == "FAIL bad (5.0 s)"
    assert any("FAIL line 4" in line and "the agent said: y" in line for line in lines)
    assert any("skip line 5" in line for line in lines)
    assert list(outcome_lines(broken()))[1].strip() == "the service cannot be reached"
    assert summary_line([good(), bad(), broken()]) == "1 passed, 1 failed, 1 could not be played"


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [([good()], 0), ([good(), bad()], 1), ([bad(), broken()], 2), ([broken(), good()], 2)],
)
def test_the_exit_code(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code


@pytest.mark.parametrize(
    ("name", "file"),
    [("weather", "weather"), ("../../etc/passwd", "etc_passwd"), ("a b/c", "a_b_c"), ("...", "scenario")],
)
def test_a_name_is_no_path(name: str, file: str) -> None:
    assert file_name(name) == file
    assert len(file_name("x" * 500)) <= 80
