"""A call is captured and played again: the same comes in and goes out."""

from __future__ import annotations

import asyncio
import base64
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import Agent, CallContext, ToolError, tool
from agent.emulator import Emulator
from agent.emulator.faults.kinds import (
    Close,
    DropTcp,
    EmptyTurn,
    GoAway,
    RefuseSetup,
    RefuseUpgrade,
    UnknownMessage,
)
from agent.errors import ConfigError
from agent.replay.as_test import write_test
from agent.replay.compare import Comparison
from agent.replay.file import SUFFIX, Captured, read, save
from agent.replay.run import replay
from signaling.client.caller import call_service
from tests.bench.line import drop_packets
from tests.support.line import FAST, QUICK, TRUSTING, Line, on_line, sweep
from tests.support.pictures import BLUE, RED, Show, sent
from tests.support.service import service_for

Play = Callable[[Line], Awaitable[None]]


@tool
async def look_up(ctx: CallContext, city: str) -> str:
    """Say how the weather is."""
    ctx.send_event("looked", city)
    if city == "Atlantis":
        raise ToolError("there is no such city")
    await asyncio.sleep(0.1)
    return f"It is sunny in {city}."


AGENT = Agent(tools=[look_up], greeting="Welcome.")


def only_file(folder: Path) -> Path:
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


async def captured(folder: Path, play: Play, **options: Any) -> tuple[Path, Captured]:
    settings = {"capture_folder": str(folder), **QUICK, **options.pop("settings", {})}
    async with on_line(settings=settings, **options) as line:
        await play(line)
    path = only_file(folder)
    return path, read(path)


async def played(what: Captured) -> Comparison:
    return await asyncio.to_thread(replay, what)


def told(what: Captured, kind: str) -> list[dict[str, Any]]:
    return [line[3] for line in what.lines if line[1:3] == ["event", kind]]


async def interrupt_it(line: Line) -> None:
    """Ask on a line that loses packets, and interrupt the answer."""
    (sender,) = line.caller.pc.getSenders()
    drop_packets(sender.transport, 0.1, "loss", lambda _index: None)
    await line.ask()
    await line.counted("bot-started-speaking", 1)
    await line.ask()
    await line.counted("bot-stopped-speaking", 2)


async def type_and_call(line: Line) -> None:
    for text in (
        "what is twelve plus thirty",
        'call look_up {"city": "Rome"}',
        'call look_up {"city": "Atlantis"}',
    ):
        line.caller.type(text)
        before = line.count("bot-stopped-speaking")
        await line.counted("bot-stopped-speaking", before + 1)
    line.caller.send("client-message", {"t": "say", "d": {"text": "And now the news."}})
    before = line.count("bot-stopped-speaking")
    await line.counted("bot-stopped-speaking", before + 1)


async def ask_twice(line: Line) -> None:
    await line.hears()
    await line.hears()


async def change_connections(line: Line) -> None:
    """Connect anew while the agent speaks."""
    line.caller.type("go")
    await line.counted("bot-started-speaking", 1)
    await line.caller.pc.getSenders()[0].transport.transport._connection.close()
    async with call_service(line.url, location=line.caller.location, hang_up=False) as other:
        await other.message("bot-stopped-speaking")


async def ask_and_wait(line: Line) -> None:
    """Ask a model that says nothing, until it is asked again."""
    line.caller.type("are you there")
    await line.counted("agent-fell-silent", 1)
    await line.counted("bot-stopped-speaking", 1)


CALLS: dict[str, tuple[Play, dict[str, Any], str]] = {
    "barge-in and loss": (interrupt_it, {"answer_s": 3.0}, "AgentInterrupted"),
    "a session is announced to end": (
        ask_twice,
        {**FAST, "faults": [GoAway(session=1, after_s=0.5, time_left_s=2.0)]},
        "SessionReplaced",
    ),
    "the connection drops": (
        ask_twice,
        {"answer_s": 1.0, "faults": [DropTcp(session=1, at="turn_started", after_s=0.3)]},
        "SessionReplaced",
    ),
    "the server closes": (
        ask_twice,
        {"faults": [Close(session=1, at="turn_completed", code=1011), RefuseUpgrade(session=2, status=503)]},
        "SessionReplaced",
    ),
    "set-up refused": (ask_twice, {"faults": [RefuseSetup(session=1, times=1)]}, "AgentReady"),
    "unknown messages": (ask_twice, {"faults": [UnknownMessage(every_s=0.3, times=5)]}, "AgentResponded"),
    "an empty answer": (
        ask_and_wait,
        {"faults": [EmptyTurn(turn=1)]},
        "AgentFellSilent",
    ),
    "tools and texts": (type_and_call, {**FAST, "definition": AGENT, "settings": TRUSTING}, "ToolFinished"),
    "another connection": (change_connections, {}, "AgentStoppedSpeaking"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_is_played_again(tmp_path: Path, name: str) -> None:
    play, options, kind = CALLS[name]
    path, what = await captured(tmp_path, play, **options)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert what.whole
    assert told(what, kind)
    found = await played(what)
    assert found.same, found.report()
    assert found.pcm_frames > 50


async def test_a_telephone_codec_is_played_again(tmp_path: Path, emulator: Emulator) -> None:
    async with (
        service_for(emulator, capture_folder=str(tmp_path)) as url,
        call_service(url, codec="PCMU") as caller,
    ):
        await caller.message("bot-ready")
        caller.microphone.play(sweep(48_000).astype(np.int16))
        await caller.message("bot-stopped-speaking", timeout_s=15)
    what = read(only_file(tmp_path))
    assert "pcmu" in next(line[2] for line in what.lines if line[1] == "codecs").values()
    found = await played(what)
    assert found.same, found.report()


async def test_the_same_pictures_are_seen_again(tmp_path: Path, emulator: Emulator) -> None:
    camera, screen = Show(RED, 30), Show(BLUE, 15)
    async with (
        service_for(emulator, offline_demo=True, capture_folder=str(tmp_path)) as url,
        call_service(url, videos=[camera, screen]) as caller,
    ):
        await caller.message("bot-ready")
        await caller.until(lambda: min(sent(caller)[name] for name in ("camera", "screen")) >= 2)
        caller.type("what is twelve plus thirty")
        await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=15)
    what = read(only_file(tmp_path))
    shown = [line[2] for line in what.lines if line[1] == "shown"]
    assert min(shown.count("camera"), shown.count("screen")) >= 2
    found = await played(what)
    assert found.same, found.report()
    frame = next(line for line in what.lines if line[1] == "frame")
    frame[4] = base64.b64encode(base64.b64decode(frame[4])[:-200]).decode()
    assert "the pictures differ from number 1 on" in (await played(what)).report()


async def test_a_packet_that_was_changed_is_named(tmp_path: Path) -> None:
    async def ask_once(line: Line) -> None:
        await line.hears()

    path, what = await captured(tmp_path, ask_once)
    loud = max((line for line in what.lines if line[1] == "rtp"), key=lambda line: len(line[2][5]))
    number = loud[2][2]
    payload = bytearray(base64.b64decode(loud[2][5]))
    payload[len(payload) // 2] ^= 0x55
    loud[2][5] = base64.b64encode(payload).decode()
    found = await played(what)
    assert not found.same
    assert f"sequence number {number}," in found.report()
    changed = tmp_path / f"changed{SUFFIX}"
    save(changed, what.header, what.lines)
    command = [sys.executable, "-m", "signaling", "replay"]
    for file, code in ((path, 0), (changed, 1), (tmp_path / "none", 2)):
        ended = await asyncio.to_thread(subprocess.run, [*command, str(file)], capture_output=True, text=True)
        assert ended.returncode == code, ended.stdout + ended.stderr
    folder = tmp_path / "regressions"
    test = write_test(path, what, folder)
    tried = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    ended = await asyncio.to_thread(subprocess.run, tried, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    with pytest.raises(ConfigError, match="is there already"):
        write_test(path, what, folder)
    changed.replace(only_file(folder))
    ended = await asyncio.to_thread(subprocess.run, tried, capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"sequence number {number}," in ended.stdout
    assert test.parent == folder
    # A file that ends anywhere is read as far as it goes, and what cannot be played comes to an end all the same.
    whole = path.read_bytes()
    cut = tmp_path / f"cut{SUFFIX}"
    cut.write_bytes(whole[: len(whole) // 2])
    half = read(cut)
    assert not half.whole
    assert 0 < len(half.lines) < len(what.lines)
    await played(half)
    mute = [line for line in read(path).lines if line[1] != "session"]
    broken = await played(Captured(what.header, mute, whole=True))
    assert "no Live session" in broken.report()
