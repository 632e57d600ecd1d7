"""`talkspurt test`: a user's agent on real calls, as scenarios say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from agent.errors import ConfigError
from agent.event_loop import loop_factory
from agent.redact import shown_url
from agent.settings import load_settings
from signaling.load.packages import want_packages
from signaling.process.logs import log_to_stderr

if TYPE_CHECKING:
    from signaling.load.outcome import Outcome


def play_scenarios(
    scenarios: Annotated[
        list[Path], typer.Argument(help="Scenario files, or folders of them.", metavar="SCENARIOS...")
    ],
    agent: Annotated[
        str | None, typer.Option(help="The agent to test; the demo if none is given.", metavar="FILE.py[:NAME]")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Test the agent of a service that runs already.", metavar="URL")
    ] = None,
    real_model: Annotated[
        bool, typer.Option("--real-model", help="Let Gemini answer, with the key that is set; this costs money.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="File for a report as JUnit XML.", metavar="FILE")] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Folder for the sound of calls that fail: caller left, agent right.", metavar="FOLDER"),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many calls at the same time.")] = 1,
    key: Annotated[
        str | None,
        typer.Option(envvar="TALKSPURT_SERVER_KEY", help="The server key of the URL's service.", show_envvar=True),
    ] = None,
) -> None:
    """Test an agent on real calls: play scenarios and say what holds.

    Without --url, the agent runs in a service of its own, and the local emulator answers offline unless
    --real-model is given. The service's settings come from the environment and talkspurt.toml, as for serve. The
    exit code is 0 if everything holds, 1 if something does not, and 2 if something could not be played at all.
    """
    want_packages()
    from signaling.load.junit import junit as as_junit
    from signaling.load.outcome import exit_code
    from signaling.load.run import Plan, run_scenarios
    from signaling.load.scenario_file import load_scenarios
    from signaling.load.shown import outcome_lines, summary_line

    _check(agent, url, real_model=real_model, junit=junit)
    played = load_scenarios(scenarios)
    settings = load_settings()
    plan = Plan(
        agent=agent, url=url, key=key, settings=settings, real_model=real_model, parallel=parallel, record=record
    )
    console = Console(highlight=False, markup=False)

    def show(outcome: Outcome) -> None:
        for line in outcome_lines(outcome):
            console.print(line, soft_wrap=True, style=None if outcome.passed else "red" if line[0] != " " else None)

    log = log_to_stderr("error", settings.log_format)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            outcomes = runner.run(run_scenarios(played, plan, show))
    finally:
        log.finish()
    if junit is not None:
        _write(junit, as_junit(outcomes))
    console.print(summary_line(outcomes))
    if code := exit_code(outcomes):
        raise typer.Exit(code)


def _check(agent: str | None, url: str | None, *, real_model: bool, junit: Path | None) -> None:
    """Refuse flags that do not go together.

    Raises:
        ConfigError: two of them do not.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"flag --url = {shown_url(url)!r}: must begin with http:// or https://")
    if url is not None and (agent is not None or real_model):
        other = "--agent" if agent is not None else "--real-model"
        raise ConfigError(
            f"flag --url: cannot be used together with {other}: that service has its own agent and model"
        )
    if junit is not None and not junit.absolute().parent.is_dir():
        raise ConfigError(f"flag --junit = {str(junit)!r}: its folder does not exist")


def _write(path: Path, report: bytes) -> None:
    try:
        path.write_bytes(report)
    except OSError as error:
        raise ConfigError(f"flag --junit = {str(path)!r}: cannot be written: {error.strerror}") from None
