"""The command `talkspurt`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.markup import escape

from agent.emulator.command import main as emulator_main
from agent.errors import ConfigError, OfferError
from agent.settings import Settings, load_settings
from signaling.app import serve
from signaling.dial import follow_call, service_client
from signaling.doctor import examine

app = typer.Typer(
    name="talkspurt",
    help="A Gemini Live agent on a call, from a browser, a phone or a load test.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keep `serve` a subcommand while it is the only one."""


@app.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port [default: 8080]; 0 takes any.")] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Listen beyond loopback without a server key.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error [default: info].")] = None,
) -> None:
    """Run the service; the local emulator answers when GOOGLE_API_KEY is not set."""
    settings = load_settings({"host": host, "port": port, "insecure": insecure, "log_level": log_level})
    _log_to_stderr(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings))


@app.command()
def doctor(
    host: Annotated[str | None, typer.Option(help="Address to try [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to try [default: 8080].")] = None,
) -> None:
    """Say what is missing or misconfigured; exit code 1 if something keeps calls from working."""
    settings = load_settings({"host": host, "port": port})
    colours = {"good": "green", "fallback": "yellow", "bad": "red"}

    async def print_findings() -> bool:
        healthy = True
        async for finding in examine(settings):
            verdict = f"[{colours[finding.verdict]}]{finding.verdict:8}[/]"
            Console().print(f"{verdict} {finding.subject}: {escape(finding.detail)}", soft_wrap=True)
            healthy = healthy and finding.verdict != "bad"
        return healthy

    if not asyncio.run(print_findings()):
        raise typer.Exit(1)


@app.command()
def emulate(
    port: Annotated[int, typer.Option(help="TCP port on loopback; 0 takes any.")] = 8443,
    pace: Annotated[float, typer.Option(help="How fast speech is sent, times real time.")] = 2.0,
    speech_recognition: Annotated[bool, typer.Option(help="Listen with pocketsphinx, if it is installed.")] = True,
    faults: Annotated[Path | None, typer.Option(help="Fault script: what shall go wrong, and when.")] = None,
) -> None:
    """Run the local Live API server alone; prints its address and certificate as one JSON line."""
    arguments = ["--port", str(port), "--pace", str(pace)]
    if not speech_recognition:
        arguments.append("--no-speech-recognition")
    if faults is not None:
        arguments += ["--faults", str(faults)]
    raise typer.Exit(emulator_main(arguments))


@app.command()
def dial(
    to: Annotated[str, typer.Argument(help="sip:name@host, or a telephone number.")],
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:8080",
    instruction: Annotated[str, typer.Option(help="Told to the agent for this call only.")] = "",
) -> None:
    """Have a running service call a telephone, and follow the call; Ctrl-C hangs up. Exit code 1: no answer."""
    key = load_settings().server_key

    async def follow() -> bool:
        answered = False
        async with (
            service_client(url, key.get_secret_value() if key else None) as http,
            aclosing(follow_call(http, {"to": to, "instruction": instruction})) as states,
        ):
            async for state in states:
                answered = answered or state["state"] == "answered"
                Console().print(f"{state['state']} {escape(state.get('detail', ''))}", soft_wrap=True)
        return answered

    try:
        answered = asyncio.run(follow())
    except (OfferError, OSError, aiohttp.ClientError) as error:
        raise ConfigError(f"{url} does not call: {error}") from None
    except KeyboardInterrupt:
        return
    if not answered:
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a configuration that cannot work ends it with exit code 2 and one line."""
    try:
        app()
    except ConfigError as error:
        print(f"talkspurt: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop if the extra ``speed`` is installed: it saves 5 to 20 % of a call's cost."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("aiortc", "aioice", "google_genai", "websockets", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
