"""`talkspurt test`: its exit codes, its report, and what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from typer.testing import CliRunner, Result

from agent.errors import ConfigError
from signaling.command.cli import app

GOOD = "name: good\nsteps:\n  - type: hello\n  - expect: {heard: demo, within_s: 30}\n"
BAD = "name: bad\nsteps:\n  - type: hello\n  - expect: {heard: snowballs, within_s: 1}\n"


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command sets up the log of its process, which is ours here."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["test", *arguments])


def test_what_holds_and_what_does_not(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{GOOD}---\n{BAD}")
    report = tmp_path / "report.xml"
    found = run(str(tmp_path), "--parallel", "2", "--junit", str(report), "--record", str(tmp_path / "failed"))
    assert found.exit_code == 1, found.output
    assert "1 passed, 1 failed, 0 could not be played" in found.output
    assert "FAIL line 9: expect heard: snowballs" in found.output
    assert [suite.get("failures") for suite in Xml.fromstring(report.read_bytes())] == ["0", "1"]
    assert [file.name for file in (tmp_path / "failed").iterdir()] == ["bad.wav"]


def test_nobody_is_there(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    found = run(str(tmp_path / "good.yaml"), "--url", "http://127.0.0.1:9/")
    assert found.exit_code == 2
    assert "cannot be reached" in found.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{0}/wrong.yaml"], "wrong.yaml, line 2: there is no step 'sing'"),
        (["{0}/missing.yaml"], "cannot read the scenario"),
        (["{0}/empty"], "no scenario in this folder"),
        (["{0}/good.yaml", "--url", "ftp://x"], "--url"),
        (["{0}/good.yaml", "--url", "http://x", "--agent", "a.py"], "--agent"),
        (["{0}/good.yaml", "--url", "http://x", "--real-model"], "--real-model"),
        (["{0}/good.yaml", "--junit", "{0}/no/report.xml"], "--junit"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(tmp_path: Path, arguments: list[str], told: str) -> None:
    """The command's `main` turns these into exit code 2 and one line."""
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "wrong.yaml").write_text("steps:\n  - sing\n")
    (tmp_path / "empty").mkdir()
    found = run(*(argument.format(tmp_path) for argument in arguments))
    assert isinstance(found.exception, ConfigError), found.output
    assert told in str(found.exception)
