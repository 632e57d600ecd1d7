"""``talkspurt emulate``: the emulator as a process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from agent.emulator.server import DEFAULT_PACE, running_emulator
from agent.errors import ConfigError
from agent.event_loop import loop_factory

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def emulate(
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes any free one.")] = 8443,
    pace: Annotated[float, typer.Option(help="How fast speech is sent, times real time.")] = DEFAULT_PACE,
    speech_recognition: Annotated[bool, typer.Option(help="Listen with pocketsphinx, if it is installed.")] = True,
    faults: Annotated[
        Path | None, typer.Option(help="Fault script: what goes wrong, and when.", metavar="FILE")
    ] = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the standard input is closed.", hidden=True)
    ] = False,
) -> None:
    """Run the local Live API server alone; its address and certificate are printed as one line of JSON."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(host, port, pace, speech_recognition, faults, exit_with_parent))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command by itself; returns the exit code.

    Args:
        arguments: the command line; None takes the process's own.
    """
    try:
        app(arguments, standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except ConfigError as error:
        sys.stderr.write(f"talkspurt emulate: {error}\n")
        return 2
    return 0


async def _serve(
    host: str, port: int, pace: float, speech_recognition: bool, faults: Path | None, exit_with_parent: bool
) -> None:
    """Serve until SIGTERM or SIGINT; when ready, print ``{"url": ..., "ca_file": ...}`` as one line.

    Raises:
        ConfigError: an argument cannot work.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_with_parent:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    try:
        async with running_emulator(
            host=host,
            port=port,
            pace=pace,
            speech_recognition=speech_recognition,
            faults=faults or (),
            record_s=0,
        ) as emulator:
            sys.stdout.write(json.dumps({"url": emulator.url, "ca_file": str(emulator.ca_file)}) + "\n")
            sys.stdout.flush()
            emulator.prepare()
            await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Ends with stdin, or with the process: it runs in a daemon thread."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # a stdin that cannot be read is as good as closed
    if not loop.is_closed():
        loop.call_soon_threadsafe(stop.set)
