"""What becomes, in the history, of recordings that a killed process left unfinished."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent.record.file import PART, PartFile
from agent.record.recorder import Recorder
from agent.settings import Settings
from signaling.history.database import Database
from signaling.history.deliver import Endpoint
from signaling.history.history import History, open_history
from signaling.history.objects import recording_key
from signaling.history.record import CallStart, Recording
from signaling.history.recordings import RecordingKeeper
from signaling.history.schema import outbox
from tests.support.history import call, end
from tests.support.recordings import tone, write_sides
from tests.support.webhooks import SECRET

LENGTH_S = 3.0
ENDPOINT = Endpoint("https://127.0.0.1/", [SECRET])  # nothing is sent there: the address is private


class World:
    """A history, a folder to record in, and perhaps a store apart from it; each `process` is killed."""

    def __init__(self, folder: Path, *, apart: bool) -> None:
        self.folder = folder / "written"
        self.store = folder / "stored" if apart else self.folder
        self.settings = Settings(record_folder=str(self.folder), record_store=str(self.store) if apart else None)
        self.url = f"sqlite:///{folder / 'calls.db'}"

    @asynccontextmanager
    async def process(self) -> AsyncIterator[History]:
        async with open_history(
            self.url, record_store=str(self.store), record_folder=str(self.folder), endpoint=ENDPOINT
        ) as history:
            yield history

    async def announced(self) -> list[str]:
        """Return the ids of the calls of which it was told that their recording is ready."""
        database = Database(self.url)
        wanted = select(outbox.c.call_id).where(outbox.c.type == "call.recording_ready")
        async with database.read() as connection:
            found = (await connection.execute(wanted)).scalars().all()
        await database.close()
        return sorted(found)

    def write(self, of: CallStart, *, suffix: str = "", below: Path | None = None) -> str:
        """Write a call's recording; return its key."""
        key = recording_key(of.call_id, of.started_ms, ".webm")
        path = (below or self.folder) / f"{key}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = write_sides(path.with_suffix(".webm"), tone(440, 0, 1, LENGTH_S), tone(880, 1, 2, LENGTH_S))
        made.rename(path)
        return key

    async def restart(self) -> dict[str, Any]:
        """Start anew, complete what was left; return the recording of each call."""
        recorder = Recorder(self.folder)
        async with self.process() as history:
            keeper = RecordingKeeper(self.settings, history)
            recorder.completed = keeper.settle
            await recorder.repair()
            await keeper.close()
            await history.written()
            return {each["id"]: each["recording"] for each in await history.page()}


@pytest.fixture(params=[False, True], ids=["one-folder", "store-apart"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path, apart=request.param)


async def test_what_was_being_written_is_stored(world: World) -> None:
    """Also if its process was killed before the history knew that there is a recording."""
    noted, unnoted, silent = call(1), call(2), call(3)
    async with world.process() as history:
        for of in (noted, unnoted, silent):
            history.started(of)
        history.recording(noted, Recording(state="writing", key=world.write(noted, suffix=PART)))
        world.write(unnoted, suffix=PART)
        await history.written()
    kept = await world.restart()
    for of in (noted, unnoted):
        assert (kept[of.call_id]["state"], kept[of.call_id]["cut_off"]) == ("stored", True)
        assert kept[of.call_id]["duration_ms"] == pytest.approx(LENGTH_S * 1000, abs=100)
        stored = world.store / recording_key(of.call_id, of.started_ms, ".webm")
        assert kept[of.call_id]["size_bytes"] == stored.stat().st_size
    assert kept[silent.call_id]["state"] == "off"
    assert await world.restart() == kept
    assert await world.announced() == [noted.call_id, unnoted.call_id]


async def test_what_was_whole_but_not_noted_is_not_cut_off(world: World) -> None:
    of = call(1)
    async with world.process() as history:
        history.started(of)
        history.recording(of, Recording(state="writing", key=world.write(of)))
        history.ended(of, end(of))
        await history.written()
    kept = (await world.restart())[of.call_id]
    assert (kept["state"], kept["cut_off"]) == ("stored", False)


async def test_what_had_been_moved_but_not_noted_is_stored(tmp_path: Path) -> None:
    world, of = World(tmp_path, apart=True), call(1)
    async with world.process() as history:
        history.started(of)
        key = world.write(of, below=world.store)
        history.recording(of, Recording(state="writing", key=key, duration_ms=2990, size_bytes=1, lost_ms=20))
        history.ended(of, end(of))
        await history.written()
    kept = (await world.restart())[of.call_id]
    size = (world.store / key).stat().st_size
    assert kept == {
        "state": "stored",
        "duration_ms": 2990,
        "size_bytes": size,
        "lost_ms": 20,
        "cut_off": False,
    }


async def test_what_is_gone_or_cannot_be_read_has_failed(world: World) -> None:
    gone, torn = call(1), call(2)
    async with world.process() as history:
        for of in (gone, torn):
            history.started(of)
            key = world.write(of, suffix=PART)
            path = world.folder / f"{key}{PART}"
            path.unlink() if of is gone else path.write_bytes(b"?" * 999)
            history.recording(of, Recording(state="writing", key=key))
        await history.written()
    kept = await world.restart()
    assert {each["state"] for each in kept.values()} == {"failed"}


async def test_the_recording_of_an_erased_call_is_deleted(world: World) -> None:
    of = call(1)
    async with world.process() as history:
        history.started(of)
        history.recording(of, Recording(state="writing", key=world.write(of, suffix=PART)))
        await history.written()
        await history.erase(of.call_id)
    assert await world.restart() == {}
    assert [path for folder in (world.folder, world.store) for path in folder.rglob("*") if path.is_file()] == []


async def test_what_is_left_of_a_recording_that_failed_is_erased_with_its_call(world: World) -> None:
    """However far it had come; but not the file that a process is still writing."""
    calls = {suffix: call(number) for number, suffix in enumerate(("", PART, ".unreadable"), 1)}
    running = call(9)
    async with world.process() as history:
        for suffix, of in calls.items():
            history.started(of)
            key = world.write(of)
            (world.folder / key).rename(world.folder / f"{key}{suffix}")
            history.recording(of, Recording(state="failed", key=key))
            history.ended(of, end(of))
        key = recording_key(running.call_id, running.started_ms, ".webm")
        being_written = PartFile(world.folder / f"{key}{PART}")
        history.started(running)
        history.recording(running, Recording(state="writing", key=key))
        await history.written()
        for of in (*calls.values(), running):
            await history.erase(of.call_id)
        left = [path.name for path in world.folder.rglob("*") if path.is_file()]
        assert left == [f"{running.call_id}.webm{PART}"]
        being_written.close()
