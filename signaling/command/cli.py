"""The `talkspurt` command."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.markup import escape

from agent.author.load import load_agent
from agent.emulator.command import emulate
from agent.errors import ConfigError, OfferError
from agent.event_loop import loop_factory
from agent.redact import shown_url, without_secrets
from agent.replay.as_test import write_test
from agent.replay.file import read
from agent.replay.run import replay
from agent.settings import Settings, load_settings
from signaling.app import DEMO, serve
from signaling.client.call import Outcome, hold_call
from signaling.client.camera import FileCamera
from signaling.client.dial import follow_call, service_client
from signaling.client.files import read_sound, read_state
from signaling.client.keyboard import Keyboard
from signaling.client.transcript import TranscriptView
from signaling.command.calls import app as calls_app
from signaling.command.doctor import examine
from signaling.command.flags import with_settings
from signaling.command.load import load_command
from signaling.command.scenarios import play_scenarios
from signaling.process.audit import audit_to
from signaling.process.logs import log_to_stderr

app = typer.Typer(
    name="talkspurt",
    help="A Gemini Live agent on a call, from a browser, a phone or a load test.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("serve")
@with_settings
def serve_command(
    settings: Settings,
    agent: Annotated[
        str | None,
        typer.Argument(metavar="[FILE.py[:NAME]]", help="The agent that answers; a demo if none is given."),
    ] = None,
    import_functions: Annotated[
        list[Path] | None, typer.Option(help="File whose public functions the model may call; may be repeated.")
    ] = None,
) -> None:
    """Run the service; without credentials, the local emulator answers.

    Each flag can also be an environment variable (--vad-silence-ms: TALKSPURT_VAD_SILENCE_MS) or a line of
    talkspurt.toml (vad_silence_ms = 500). Keys have no flags; set variables such as GOOGLE_API_KEY,
    TALKSPURT_VERTEX_API_KEY and TALKSPURT_SERVER_KEY.
    """
    definition = load_agent(agent, import_functions or (), DEMO)
    log = log_to_stderr(settings.log_level, settings.log_format)
    finish_audit = audit_to(Path(settings.audit_file)) if settings.audit_file else None
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(settings, definition))
    finally:
        if finish_audit is not None:
            finish_audit()
        log.finish()


@app.command()
@with_settings
def doctor(settings: Settings) -> None:
    """Report what is missing or misconfigured; exit code 1 if something that is wanted does not work.

    It takes the same flags as serve, and checks what the service would do with them. The history's database, the
    receiver of webhooks and the collector of traces are tried, if there are any; nothing is created or sent there.
    """
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


app.command()(emulate)
app.command("load")(load_command)
app.command("test")(play_scenarios)
app.add_typer(calls_app)


@app.command()
def call(
    url: Annotated[str, typer.Argument(help="The service's address, e.g. http://127.0.0.1:8080/.")],
    microphone: Annotated[
        Path | None, typer.Option(help="Sound file to play to the agent; without one, silence.", metavar="FILE")
    ] = None,
    message: Annotated[
        list[str] | None,
        typer.Option(help="Text to type; may be repeated. - types the lines of standard input.", metavar="TEXT"),
    ] = None,
    camera: Annotated[
        Path | None, typer.Option(help="Picture or video file to show, in a loop.", metavar="FILE")
    ] = None,
    audio_input: Annotated[
        bool, typer.Option("--audio-input/--no-audio-input", help="Send sound, or none at all.")
    ] = True,
    record: Annotated[
        Path | None,
        typer.Option(help="WAV file for the sound of the agent, up to the last ten minutes.", metavar="FILE"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Maximum length of the call; no limit by default.")
    ] = None,
    go_on_from: Annotated[
        Path | None, typer.Option(help="JSON file with the state of an earlier call to continue.", metavar="FILE")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="TALKSPURT_SERVER_KEY", help="The service's server key.", show_envvar=True)
    ] = None,
) -> None:
    """Call a service without a browser.

    Both transcripts, tool calls and sources are printed as they arrive, and the call's figures at the end. On a
    terminal, each line that you type goes to the agent. The call ends on Ctrl-C, after --seconds, when the service
    ends it, or when everything given has been said and typed and the agent has finished its answer. The exit code
    is 0 if the call ended normally, 1 if it failed or was never connected, and 2 if a file or flag is wrong.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"URL {shown_url(url)!r}: must begin with http:// or https://")
    speech = None if microphone is None else read_sound(microphone)
    if record is not None and record.is_dir():
        raise ConfigError(f"flag --record = {str(record)!r}: it is a folder; name a file in it")
    if record is not None and not record.absolute().parent.is_dir():
        raise ConfigError(f"flag --record = {str(record)!r}: its folder does not exist")
    if microphone is not None and not audio_input:
        raise ConfigError("flag --microphone: cannot be used together with --no-audio-input")
    state = None if go_on_from is None else read_state(go_on_from)
    console = Console()
    texts = [text for text in message or () if text != "-"]
    terminal, piped = sys.stdin.isatty(), "-" in (message or ())

    async def hold() -> Outcome:
        hang_up = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, hang_up.set)
        keyboard = Keyboard(texts)
        if terminal or piped:
            keyboard.read(sys.stdin.fileno(), hurried=terminal, holds=piped or not (texts or speech is not None))
        with TranscriptView(console, typed_on=terminal) as view:
            return await hold_call(
                url,
                speech=speech,
                record=record,
                key=key,
                limit_s=seconds,
                hang_up=hang_up,
                show=view.show,
                notice=view.notice,
                keyboard=keyboard if texts or terminal or piped else None,
                camera=None if camera is None else FileCamera(camera),
                speaks=audio_input,
                state=state,
            )

    outcome = asyncio.run(hold())
    for name, words in outcome.tally.rows():
        console.print(f"[dim]{name:14}[/]{escape(words)}", soft_wrap=True, highlight=False)
    console.print(
        f"[{'red' if outcome.failed else 'dim'}]{outcome.reason}[/]: {escape(outcome.detail)}", soft_wrap=True
    )
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def dial(
    to: Annotated[str, typer.Argument(help="sip:name@host, or a telephone number.")],
    url: Annotated[str, typer.Option(help="Address of the running service.")] = "http://127.0.0.1:8080",
    instruction: Annotated[str, typer.Option(help="Extra instruction for the agent, for this call only.")] = "",
) -> None:
    """Have a running service call a telephone, and follow the call.

    Ctrl-C hangs up. The exit code is 1 if nobody answers, and 2 if the service does not place the call.
    """
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
    except (OfferError, OSError, ValueError, aiohttp.ClientError) as error:  # a ValueError is about the URL
        reason = without_secrets(str(error), url)
        raise ConfigError(f"the service at {shown_url(url)} did not place the call: {reason}") from None
    except KeyboardInterrupt:
        return
    if not answered:
        raise typer.Exit(1)


@app.command("replay")
def replay_command(
    file: Annotated[Path, typer.Argument(help="A capture of a call, from capture_folder.", metavar="FILE")],
    as_test: Annotated[
        Path | None,
        typer.Option(help="Make a test of it in this folder: a copy of the file, and a module.", metavar="FOLDER"),
    ] = None,
) -> None:
    """Play a captured call again, as fast as it goes, and compare what comes in and goes out.

    No network beyond loopback and no tool is used. The exit code is 0 if the replay is identical, 1 if it differs,
    and 2 if the file is no capture.
    """
    captured = read(file)
    found = replay(captured)
    print(found.report())
    if not captured.whole:
        print("the capture ends early: the service was killed, or could not write it")
    if as_test is not None:
        print(f"wrote {write_test(file, captured, as_test)}")
    if not found.same:
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a configuration that cannot work ends it with exit code 2 and one line."""
    try:
        app()
    except ConfigError as error:
        print(f"talkspurt: {error}", file=sys.stderr)
        raise SystemExit(2) from None
