"""Outcomes as JUnit XML: a suite for each scenario, a case for each step. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from signaling.load.outcome import Outcome, StepOutcome
from signaling.load.shown import timeline_lines

_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Sequence[Outcome]) -> bytes:
    """Return the report."""
    root = Xml.Element("testsuites", {"name": "talkspurt test", **_counts(outcomes)})
    for outcome in outcomes:
        suite = Xml.SubElement(root, "testsuite", {"name": _text(outcome.name), **_counts([outcome])})
        before_s = 0.0
        for step in outcome.steps:
            _case(suite, outcome, step, step.at_s - before_s)
            before_s = step.at_s
        if outcome.error is not None:
            case = Xml.SubElement(
                suite, "testcase", {"classname": _text(outcome.name), "name": "call", "time": "0"}
            )
            Xml.SubElement(case, "error", {"message": _text(outcome.error)})
        lines = list(timeline_lines(outcome))
        if outcome.recording is not None:
            lines.append(f"recording: {outcome.recording}")
        Xml.SubElement(suite, "system-out").text = _text("\n".join(lines))
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _case(suite: Xml.Element, outcome: Outcome, step: StepOutcome, took_s: float) -> None:
    name = f"line {step.line}: {step.what}"
    attributes = {"classname": _text(outcome.name), "name": _text(name), "time": f"{max(took_s, 0):.3f}"}
    case = Xml.SubElement(suite, "testcase", attributes)
    if step.state != "passed":
        kind = {"failed": "failure", "skipped": "skipped"}[step.state]
        Xml.SubElement(case, kind, {"message": _text(step.detail)})


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    steps = [step for outcome in outcomes for step in outcome.steps]
    errors = sum(outcome.error is not None for outcome in outcomes)
    return {
        "tests": str(len(steps) + errors),
        "failures": str(sum(step.state == "failed" for step in steps)),
        "errors": str(errors),
        "skipped": str(sum(step.state == "skipped" for step in steps)),
        "time": f"{sum(outcome.took_s for outcome in outcomes):.3f}",
    }


def _text(text: str) -> str:
    """Return a text without the characters that XML does not allow."""
    return _NO_XML.sub("?", text)
