"""A call is captured and played again: the same comes in and goes out."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from agent.replay.compare import Comparison
from agent.replay.file import SUFFIX, Captured, read
from agent.replay.run import replay
from tests.support.line import on_line


def captured_in(folder: Path) -> Captured:
    (path,) = folder.glob(f"*{SUFFIX}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return read(path)


async def played(captured: Captured) -> Comparison:
    return await asyncio.to_thread(replay, captured)


async def test_a_call_with_a_barge_in_is_replayed(tmp_path: Path) -> None:
    async with on_line(answer_s=3.0, settings={"capture_folder": str(tmp_path)}) as line:
        await line.ask()
        await line.counted("bot-started-speaking", 1)
        await asyncio.sleep(0.5)
        await line.ask()
        await line.counted("bot-stopped-speaking", 2)
    captured = captured_in(tmp_path)
    assert captured.whole
    found = await played(captured)
    assert found.same, found.report()
