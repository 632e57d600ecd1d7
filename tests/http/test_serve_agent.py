"""`serve` with an agent's file that cannot work ends with exit code 2 and one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from signaling.command import cli

BAD_TOOL = "from agent import Agent\n\ndef look_up(city): ...\n\nagent = Agent(tools=[look_up])\n"
TALKATIVE = (
    "from agent import Agent, tool\n\n@tool(behavior='NON_BLOCKING')\ndef look_up() -> str: ...\n\n"
    "agent = Agent(tools=[look_up])\n"
)
ODD_SERVER = str(Path(__file__).parent.parent / "data" / "odd_mcp_server.py")
BAD_HOOK = "from agent import Agent\n\ndef note(event): ...\n\nagent = Agent(on_event=note)\n"


def serve(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["talkspurt", "serve", "--port", "0", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_a_bad_tool_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(BAD_TOOL)
    for arguments in ([str(path)], ["--import-functions", str(path)]):
        assert serve(monkeypatch, *arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("talkspurt: bad.py, line 3: look_up: parameter city has no type")


def test_a_tool_that_the_model_does_not_take_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talkative.py"
    path.write_text(TALKATIVE)
    assert serve(monkeypatch, "--model", "gemini-3.1-flash-live-preview", str(path)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("talkspurt: tool look_up: behavior = 'NON_BLOCKING': gemini-3.1-flash-live-preview ")


def test_a_bad_hook_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(BAD_HOOK)
    assert serve(monkeypatch, str(path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "talkspurt: bad.py, line 3: note: on_event must take (call, event)"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-program"], "it did not start"),
        ([sys.executable, ODD_SERVER, "exit"], "it does not list its tools"),
        ([sys.executable, ODD_SERVER, "error"], "it does not list its tools: the database is gone"),
        ([sys.executable, ODD_SERVER, "recursive"], "tool walk: "),
        ([sys.executable, ODD_SERVER, "version"], "it did not start"),
    ],
)
def test_the_service_with_an_mcp_server_that_cannot_be_used(tmp_path: Path, command: list[str], words: str) -> None:
    pytest.importorskip("mcp", reason="needs the extra `mcp`")
    path = tmp_path / "bad.py"
    path.write_text(
        f"from agent import Agent, McpServer\nagent = Agent(mcp_servers=[McpServer(command={command!r})])"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "signaling", "serve", "--port", "0", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"talkspurt: MCP server {' '.join(command)}: {words}")
    assert "Traceback" not in ended.stderr
