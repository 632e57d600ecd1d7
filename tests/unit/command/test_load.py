"""What `talkspurt load` refuses before it calls anybody."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from agent.errors import ConfigError
from signaling.command import load
from signaling.command.cli import main
from signaling.load.generator import Now
from signaling.load.hearing import Talk
from signaling.load.progress import Progress
from signaling.load.record import CallRecord, Turn


def test_the_shipped_scenarios_can_be_read_and_weighed() -> None:
    scenarios, weights = load.chosen(["smoke", "conversation=3", "stress=0.5"])
    assert [scenario.name for scenario in scenarios] == ["smoke", "conversation", "stress"]
    assert weights == (1.0, 3.0, 0.5)


def test_a_file_may_have_an_equals_sign_and_several_scenarios(tmp_path: Path) -> None:
    file = tmp_path / "a=b.yaml"
    file.write_text("name: one\nsteps: [{silent: 1}]\n---\nname: two\nsteps: [{silent: 1}]\n", encoding="utf-8")
    scenarios, weights = load.chosen([f"{file}=2"])
    assert [scenario.name for scenario in scenarios] == ["one", "two"]
    assert weights == (2.0, 2.0)


@pytest.mark.parametrize("text", ["smoke=0", "smoke=-1", "smoke=often", "no/such/file.yaml", "nothing"])
def test_what_cannot_be_played_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        load.chosen([text])


def test_two_scenarios_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two scenarios are named 'smoke'"):
        load.chosen(["smoke", "smoke"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://127.0.0.1/"], "must begin with http"),
        (["http://127.0.0.1:9/", "--json", "/no/such/folder/x"], "its folder does not exist"),
        (["http://127.0.0.1:9/", "--slo", "nothing_p95_ms=3"], "no such objective"),
        (["http://127.0.0.1:9/", "--slo-file", "/no/such/file"], "cannot be read"),
        (["http://127.0.0.1:9/", "--scenario", "nothing"], "cannot read the scenario"),
        (["http://127.0.0.1:9/"], "cannot be reached"),  # nobody listens on the discard port
    ],
)
def test_a_test_that_cannot_run_ends_with_2_and_one_line(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["talkspurt", "load", *arguments])
    monkeypatch.setattr(load, "keep_garbage", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_objectives_of_a_file_give_way_to_those_of_the_command(tmp_path: Path) -> None:
    file = tmp_path / "slo.txt"
    file.write_text("# ours\nstop_p95_ms = 400  # the demo\n\nlate_pct=1\n", encoding="utf-8")
    assert load.given_objectives(["late_pct=2"], file) == {"stop_p95_ms": 400.0, "late_pct": 2.0}


def test_without_the_extra_the_command_still_starts_and_says_what_is_missing() -> None:
    program = (
        "import sys; sys.modules['yaml'] = None; from signaling.command.cli import main; "
        "sys.argv = ['talkspurt', 'load', 'http://127.0.0.1:9/']; main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "the extra 'scenarios'" in ended.stderr


def test_how_a_test_goes_is_shown_on_a_terminal_and_elsewhere() -> None:
    record = CallRecord(0, "a", 1.0, 1.1, 1.2, 1.3, 9.0, "refused [red]503", late=7)
    record.turns, record.talks = [Turn(2.0, 3.0, wants_reply=True)], [Talk(3.5, 4.0)]
    now = Now(12.0, 3, 2, Counter({"completed": 1, "refused [red]503": 1}), 1.5, [record])
    for terminal in (True, False):
        shown = io.StringIO()
        with Progress(Console(file=shown, force_terminal=terminal, width=100)) as progress:
            progress.show(now)
        text = shown.getvalue()
        assert "2 up" in text
        assert "3 offered" in text
        assert "1 failed" in text
        if terminal:
            assert "refused [red]503" in text
            assert "p50 500 ms" in text
