"""`talkspurt calls`: look at what is kept of calls, export and erase it, whether the service runs or not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import ConfigError
from agent.settings import load_settings
from signaling.history import history_to_look_at

MAX_LISTED = 500
T = TypeVar("T")

app = typer.Typer(
    name="calls",
    help="What is kept of calls: list, show, export and erase them. It reads the database of history_url.",
    invoke_without_command=True,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Words = Annotated[str | None, typer.Argument(help="Words that were said, all in one turn.")]
Caller = Annotated[str | None, typer.Option(help="Only calls of this number or address.")]
Reason = Annotated[str | None, typer.Option(help="Only calls that ended so, e.g. live_lost.")]


@app.callback()
def calls(context: typer.Context) -> None:
    """Without a subcommand, list the newest calls."""
    if context.invoked_subcommand is None:
        list_calls()


@app.command("list")
def list_calls(
    words: Words = None,
    caller: Caller = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List calls, newest first."""

    async def look(history: Any) -> list[dict[str, Any]]:
        from signaling.history.read import Filters

        filters = Filters(caller=caller, reason=reason)
        if words is None:
            found: list[dict[str, Any]] = await history.page(None, filters, limit)
            return found
        hits = (await history.search(words, None, filters, limit)).hits
        return list({hit["call"]["id"]: {**hit["call"], "said": hit["text"]} for hit in reversed(hits)}.values())[
            ::-1
        ]

    found = _asked(look)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for call in found:
        _print(_row(call))
        if "said" in call:
            _print(f"    {call['said']}")
    if not found:
        _print("no call")


@app.command("show")
def show_call(call_id: Annotated[str, typer.Argument(help="The call's id.")], as_json: AsJson = False) -> None:
    """Show what was said and done in a call."""
    call = _asked(lambda history: history.one(call_id))
    if call is None:
        raise ConfigError(f"there is no call {call_id!r} in the history")
    if as_json:
        typer.echo(json.dumps(call, ensure_ascii=False, indent=2))
        return
    for line in _lines(call):
        _print(line)


@app.command("export")
def export_calls(words: Words = None, caller: Caller = None, reason: Reason = None) -> None:
    """Print everything that is kept of calls as JSON, one call a line, newest first."""

    async def write(history: Any) -> None:
        from signaling.history.export import exported
        from signaling.history.read import Filters

        async for call in exported(history, words, Filters(caller=caller, reason=reason)):
            _write_line(json.dumps(call, ensure_ascii=False))

    _asked(write)


@app.command("erase")
def erase_call(
    call_id: Annotated[str, typer.Argument(help="The call's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all that is kept of a call, its recording too, for good."""
    if not yes:
        typer.confirm(f"Erase call {call_id} for good?", abort=True)
    gone = _asked(lambda history: history.erase(call_id))
    if gone is None:
        raise ConfigError(f"there is no call {call_id!r} in the history")
    _print(
        "erased" if gone else "erased; its words are still in the database's files until the service cleans them"
    )


def _asked(ask: Callable[[Any], Awaitable[T]]) -> T:
    """Ask the history of the settings."""
    settings = load_settings()

    async def run() -> T:
        async with history_to_look_at(settings) as history:
            return await ask(history)

    return asyncio.run(run())


def _write_line(line: str) -> None:
    """Write a line to standard output; end the command if nobody takes it."""
    try:
        typer.echo(line)
    except BrokenPipeError:  # the reader has had enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        raise ConfigError(f"the calls cannot be written: {error.strerror}") from None


def _print(text: str) -> None:
    """Print what people said: without control characters, which could do anything to a terminal."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    Console().print(escape(shown), soft_wrap=True, highlight=False)


def _row(call: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(call["started_ms"] / 1000).astimezone()
    lasted = "" if call["ended_ms"] is None else f"{(call['ended_ms'] - call['started_ms']) / 1000:.0f} s"
    cost = "" if call["cost_usd"] is None else f"${call['cost_usd']:.4f}"
    who = call["callee"] if call["direction"] == "outbound" else call["caller"]
    fields = (f"{at:%Y-%m-%d %H:%M:%S}", call["id"], call["reason"] or call["state"], lasted, cost, who or "")
    return "  ".join(field for field in fields if field)


def _lines(call: dict[str, Any]) -> Iterator[str]:
    yield _row(call)
    if call["detail"]:
        yield f"{call['detail']} (fault: {call['fault']})"
    yield ""
    said = [(turn["started_ms"], _turn_line(turn)) for turn in call["transcript"]]
    used = [(tool["started_ms"], _tool_line(tool)) for tool in call["tools"]]
    for at_ms, line in sorted(said + used):
        yield f"{(at_ms - call['started_ms']) / 1000:8.1f}  {line}"


def _turn_line(turn: dict[str, Any]) -> str:
    unheard = f" [not heard: {turn['unheard']}]" if turn["unheard"] else ""
    return f"{turn['speaker']}: {turn['text']}{unheard}"


def _tool_line(tool: dict[str, Any]) -> str:
    told = (json.dumps(tool[name], ensure_ascii=False) for name in ("arguments", "result"))
    return f"{tool['name']}({next(told)}) -> {tool['outcome']} {next(told)}"
