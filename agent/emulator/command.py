"""The emulator as a process: ``talkspurt emulate`` and ``python -m agent.emulator``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.emulator.server import DEFAULT_PACE, running_emulator
from agent.errors import ConfigError


async def run(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    pace: float = DEFAULT_PACE,
    speech_recognition: bool = True,
    faults: Path | None = None,
    exit_with_parent: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; when ready, print ``{"url": ..., "ca_file": ...}`` as one line on stdout.

    Args:
        host: a loopback address.
        port: 0 takes any free one.
        pace: times real time at which speech is sent.
        speech_recognition: listen with pocketsphinx, if it is installed.
        faults: a fault script, see docs/faults-script.md.
        exit_with_parent: also end when stdin is closed.

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
    """Ends with stdin, or with the process: a daemon thread holds nothing."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # a stdin that cannot be read is as good as closed
    if not loop.is_closed():
        loop.call_soon_threadsafe(stop.set)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The extra ``speed``'s loop, which takes some 15 % off a session's cost; else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="talkspurt emulate", description="A local Live API server on loopback TLS."
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes any free one (default)")
    parser.add_argument("--pace", type=float, default=DEFAULT_PACE, help="times real time (default %(default)s)")
    parser.add_argument("--no-speech-recognition", action="store_true", help="do not listen with pocketsphinx")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="a fault script, see docs/faults-script.md")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin is closed")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(
                run(
                    options.host,
                    options.port,
                    pace=options.pace,
                    speech_recognition=not options.no_speech_recognition,
                    faults=options.faults,
                    exit_with_parent=options.exit_with_parent,
                )
            )
    except ConfigError as error:
        sys.stderr.write(f"talkspurt emulate: {error}\n")
        return 2
    return 0
