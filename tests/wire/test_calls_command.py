"""`talkspurt calls` beside a history that a service has open."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.errors import ConfigError
from signaling.command.cli import app
from signaling.history import export
from signaling.history.history import History, open_history
from tests.support.history import call, end, said, used

ESCAPE = "\x1b[2J[bold]gone[/bold]"


@pytest.fixture
async def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[History]:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    monkeypatch.setenv("TALKSPURT_HISTORY_URL", url)
    async with open_history(url) as opened:
        for number in (1, 2, 3):
            of = call(number, caller=f"+49{number}")
            opened.started(of)
            opened.turn(of, said(f"order {number} {ESCAPE}"))
            opened.tool(of, used(arguments={"city": "Rome"}))
            if number != 3:
                opened.ended(of, end(of, reason="idle" if number == 2 else "hung_up", cost_usd=0.01))
        await opened.written()
        yield opened


async def run(*arguments: str, answer: str | None = None) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["calls", *arguments], input=answer)


async def test_calls_are_listed_and_shown(history: History) -> None:
    listed = (await run()).stdout.splitlines()
    assert [line.split("  ")[1] for line in listed] == ["rtc_000003", "rtc_000002", "rtc_000001"]
    assert "running" in listed[0]  # to look does not close what another process still runs
    assert (await history.page())[0]["state"] == "running"
    assert (await run("list", "--reason", "idle")).stdout.count("rtc_") == 1
    assert json.loads((await run("list", "order", "--json")).stdout)[0]["said"] == f"order 3 {ESCAPE}"
    assert (await run("list", "nothing-like-it")).stdout == "no call\n"
    shown = (await run("show", "rtc_000002")).stdout
    assert 'get_weather({"city": "Rome"}) -> result null' in shown
    assert "caller: order 2  [2J[bold]gone[/bold]" in shown
    assert "\x1b" not in shown
    assert json.loads((await run("show", "rtc_000002", "--json")).stdout)["reason"] == "idle"


async def test_all_calls_are_exported_newest_first(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, each call once, with its turns and tools; filtered like the list."""
    monkeypatch.setattr(export, "PAGE", 2)
    calls = [json.loads(line) for line in (await run("export")).stdout.splitlines()]
    assert [each["id"] for each in calls] == ["rtc_000003", "rtc_000002", "rtc_000001"]
    assert calls == [await history.one(each["id"]) for each in calls]
    assert calls[0]["transcript"][0]["text"] == f"order 3 {ESCAPE}"
    assert calls[0]["tools"][0]["arguments"] == {"city": "Rome"}
    for arguments, wanted in (
        (["--reason", "idle"], ["rtc_000002"]),
        (["--caller", "+493"], ["rtc_000003"]),
        (["order", "--reason", "hung_up"], ["rtc_000001"]),
        (["nothing-like-it"], []),
    ):
        lines = (await run("export", *arguments)).stdout.splitlines()
        assert [json.loads(line)["id"] for line in lines] == wanted


async def test_calls_with_the_same_words_several_times_are_exported_once(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if two began in the same millisecond, so that their turns are mixed."""
    monkeypatch.setattr(export, "PAGE", 2)
    pair = [call(9), call(9, call_id="rtc_twin")]
    for turn in range(3):
        for of in pair:
            history.turn(of, said("the same again", f"t{turn}"))
    await history.written()
    lines = (await run("export", "same again")).stdout.splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == ["rtc_000009", "rtc_twin"]


async def test_an_export_that_nobody_reads_to_its_end_ends(history: History, tmp_path: Path) -> None:
    """It is written as it is read: the first lines are there while most are still to come."""
    for number in range(10, 400):
        of = call(number)
        history.started(of)
        history.turn(of, said("word " * 500))
    await history.written()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signaling", "calls", "export"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        assert json.loads(await process.stdout.readline())["id"] == "rtc_000399"
        process.stdout._transport.close()  # type: ignore[attr-defined]
        assert await process.stderr.read() == b""
        assert await process.wait() == 1


async def test_a_call_is_erased_only_if_somebody_says_so(history: History, tmp_path: Path) -> None:
    assert (await run("erase", "rtc_000001", answer="n\n")).exit_code == 1
    assert await history.one("rtc_000001") is not None
    assert (await run("erase", "rtc_000001", "--yes")).stdout == "erased\n"
    assert await history.one("rtc_000001") is None
    again = await run("erase", "rtc_000001", "--yes")
    assert isinstance(again.exception, ConfigError)


async def test_what_cannot_be_looked_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = await run()
    assert "set history_url" in str(nothing.exception)
    path = tmp_path / "none.db"
    monkeypatch.setenv("TALKSPURT_HISTORY_URL", f"sqlite:///{path}")
    assert "there is no such file" in str((await run()).exception)
    assert not path.exists()
    path.write_bytes(b"")
    assert "cannot be used" in str((await run()).exception)
