"""``talkspurt load``: many callers at once, and a verdict."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import ConfigError
from agent.event_loop import loop_factory
from agent.redact import shown_url, without_secrets
from signaling.load.arrivals import Arrivals
from signaling.load.generator import Plan
from signaling.load.page import page, plotly
from signaling.load.prepare import scripts_of
from signaling.load.printed import print_capacity, print_report
from signaling.load.processes import keep_garbage
from signaling.load.progress import Progress
from signaling.load.scenario import Scenario
from signaling.load.slo import objectives, parse
from signaling.load.trial import Trial, run_trial, search

SHIPPED = Path(__file__).parents[1] / "load" / "scenarios"
SEARCH_S = 30.0
REACH_TIMEOUT_S = 10.0


def load_command(
    url: Annotated[str, typer.Argument(help="The service's address, e.g. http://127.0.0.1:8080/.")],
    calls: Annotated[int, typer.Option(min=1, max=100_000, help="Callers at once.")] = 10,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, max=10_000, help="Calls a second instead of callers at once; each calls only once."),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds; callers call again until then. Without it, each calls once."),
    ] = None,
    arrivals: Annotated[Arrivals, typer.Option(help="How the callers arrive.")] = Arrivals.POISSON,
    ramp: Annotated[
        float | None, typer.Option(min=0, help="Seconds in which the callers arrive; 20 a second by default.")
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="smoke, conversation, stress, a file or a folder; may be repeated. =2 makes it twice as frequent.",
            metavar="SCENARIO[=WEIGHT]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the callers.")] = 1,
    slo: Annotated[
        list[str] | None, typer.Option(help="An objective; may be repeated.", metavar="NAME=VALUE")
    ] = None,
    slo_file: Annotated[Path | None, typer.Option(help="File with one objective a line.", metavar="FILE")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the report as JSON.", metavar="FILE")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="File for the report as one page.", metavar="FILE")
    ] = None,
    find_capacity: Annotated[
        bool, typer.Option("--find-capacity", help="Search for the largest load whose objectives hold.")
    ] = False,
    repeat: Annotated[int, typer.Option(min=1, max=20, help="Tries of each load in that search.")] = 3,
    key: Annotated[
        str | None, typer.Option(envvar="TALKSPURT_SERVER_KEY", help="The service's key.", show_envvar=True)
    ] = None,
) -> None:
    """Have many callers talk to a service, and report how it did.

    Ctrl-C ends the test early, with the report so far. The exit code is 0 if all objectives hold, 1 if one does
    not, 2 if the test cannot run, and 3 if it says nothing about the service, because the generator itself was late
    or an objective that was asked for could not be measured.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"URL {shown_url(url)!r}: must begin with http:// or https://")
    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None and not file.absolute().parent.is_dir():
            raise ConfigError(f"{option} = {str(file)!r}: its folder does not exist")
    program = "" if html_file is None else plotly()
    wanted = objectives(given_objectives(slo or (), slo_file))
    scenarios, weights = chosen(scenario or ["conversation"])
    console = Console()

    keep_garbage()

    async def run() -> int:
        await _reach(url)
        plan = Plan(url, key, calls, arrivals, 0.0, None, weights, seed)
        seconds = SEARCH_S if duration is None and find_capacity else duration
        amount = float(calls) if rate is None else rate
        scripts = await scripts_of(scenarios)
        trial = Trial(plan, scripts, wanted, processes, rate is not None, amount, ramp, seconds)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, _stop_gently, loop, stop)
        with Progress(console) as progress:
            if find_capacity:
                found = await search(
                    trial, stop, progress.show, repeat=repeat, told=lambda line: console.print(escape(line))
                )
                report = found.report()
            else:
                report = await run_trial(trial, stop, progress.show)
        _write(report, json_file, html_file, program)
        if find_capacity:
            return print_capacity(console, found, by_rate=rate is not None)
        print_report(console, report)
        code: int = report["exit_code"]
        return code

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        code = runner.run(run())
    if code:
        raise typer.Exit(code)


def chosen(texts: Sequence[str]) -> tuple[list[Scenario], tuple[float, ...]]:
    """Return the scenarios that ``SCENARIO[=WEIGHT]`` texts name, and their weights.

    Raises:
        ConfigError: one cannot be read, a weight is no number above 0, or the extra for scenarios is not installed.
    """
    try:
        from signaling.load.scenario_file import load_scenarios
    except ImportError:
        raise ConfigError("load tests need the extra 'scenarios': pip install '.[scenarios,load]'") from None
    scenarios: list[Scenario] = []
    weights: list[float] = []
    for text in texts:
        name, equals, weight = text.rpartition("=")
        if not equals:
            name, weight = text, "1"
        shipped = SHIPPED / f"{name}.yaml"
        found = load_scenarios([shipped if shipped.is_file() and "/" not in name else Path(name)])
        try:
            share = float(weight)
        except ValueError:
            share = 0.0
        if not 0 < share < 1e6:
            raise ConfigError(f"--scenario {text}: the weight {weight!r} must be a number above 0")
        scenarios += found
        weights += [share] * len(found)
    names = [scenario.name for scenario in scenarios]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--scenario: two scenarios are named {twice!r}; give one of them another name")
    return scenarios, tuple(weights)


def given_objectives(options: Sequence[str], file: Path | None) -> dict[str, float]:
    """Return the limits that a file and options give, by name; options go before the file.

    Raises:
        ConfigError: one cannot be read.
    """
    given: dict[str, float] = {}
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(f"--slo-file {file}: cannot be read: {reason}") from None
        texts = [line.partition("#")[0].strip() for line in lines]
        given |= parse([text for text in texts if text], f"--slo-file {file}")
    return given | parse(options, "--slo")


async def _reach(url: str) -> None:
    """Ask the service anything.

    Raises:
        ConfigError: nobody answers there.
    """
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(REACH_TIMEOUT_S)) as http, http.get(url):
            pass
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = without_secrets(str(error), url) or "no answer"
        raise ConfigError(f"the service at {shown_url(url)} cannot be reached: {reason}") from None


def _stop_gently(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """End the test; a second Ctrl-C ends the program."""
    stop.set()
    loop.remove_signal_handler(signal.SIGINT)


def _write(report: dict[str, Any], json_file: Path | None, html_file: Path | None, program: str) -> None:
    if json_file is not None:
        _write_text("--json", json_file, json.dumps(report, indent=1, allow_nan=False))
    if html_file is not None:
        _write_text("--html", html_file, page(report, program))


def _write_text(option: str, file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{option} = {str(file)!r}: cannot be written: {error.strerror}") from None
