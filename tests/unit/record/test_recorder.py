"""The writer's thread against disks that are slow, stuck or broken; the event loop's side never waits."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import events
from agent.errors import ConfigError
from agent.record import recorder as module
from agent.record.file import PART
from agent.record.recorder import STUCK_S, Recorder, RecordingEvent, check_folder, key_of
from agent.record.tape import Packet
from tests.support.recording import beeps, onsets_s, packets, tracks

LENGTH_S = 3.0


def call() -> list[Packet]:
    """Return both sides of a call that is over by now."""
    began = time.monotonic() - LENGTH_S
    callers = packets("caller", beeps([1.0], LENGTH_S), begins_at=began, first=99)
    return sorted(callers + packets("agent", beeps([2.0], LENGTH_S), begins_at=began), key=lambda each: each.now)


class Told:
    """A recorder, and what its listeners were told."""

    def __init__(self, folder: Path, write: Callable[[int, bytes], int] = os.write) -> None:
        self.recorder = Recorder(folder, write=write)
        self.events: list[tuple[str, RecordingEvent]] = []
        self.recorder.listeners.append(lambda call_id, event: self.events.append((call_id, event)))

    def kinds(self, call_id: str) -> list[type[RecordingEvent]]:
        return [type(event) for one, event in self.events if one == call_id]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110  the thread has its own pace
                await asyncio.sleep(0.005)


def begin(told: Told, call_id: str) -> module.Recording:
    recording = told.recorder.begin(call_id)
    for packet in call():
        (recording.caller if packet.side == "caller" else recording.agent)(*packet[1:])
    return recording


def test_a_call_is_stored_and_told(tmp_path: Path) -> None:
    async def work() -> None:
        told, heard = Told(tmp_path), list[RecordingEvent]()
        recording = begin(told, "c1")
        recording.tell = heard.append
        await recording.end()
        assert recording.state == "stored"
        assert told.kinds("c1") == [events.RecordingStarted, events.RecordingStored]
        assert heard == [event for _call_id, event in told.events]
        stored = heard[-1]
        assert isinstance(stored, events.RecordingStored)
        assert stored.key == key_of("c1", time.time(), ".webm")
        assert os.path.getsize(tmp_path / stored.key) == stored.bytes  # noqa: ASYNC240, PTH202
        assert stored.duration_ms == pytest.approx(1000 * LENGTH_S, abs=20)
        assert stored.lost_ms == 0
        assert [onsets_s(track) for track in tracks(tmp_path / stored.key)] == [
            pytest.approx([1.0], abs=0.01),
            pytest.approx([2.0], abs=0.01),
        ]
        assert told.recorder.counts == {"started": 1, "stored": 1}
        await told.recorder.close()

    asyncio.run(work())


def test_closing_finishes_what_is_open(tmp_path: Path) -> None:
    async def work() -> None:
        told = Told(tmp_path)
        recordings = [begin(told, f"c{number}") for number in range(5)]
        await told.recorder.close()
        await told.until(lambda: all(recording.state == "stored" for recording in recordings))

    asyncio.run(work())
    assert len(list(tmp_path.rglob("*.webm"))) == 5
    assert not list(tmp_path.rglob(f"*{PART}"))


def test_a_call_without_media_has_no_file(tmp_path: Path) -> None:
    async def work() -> None:
        told = Told(tmp_path)
        recording = told.recorder.begin("c1")
        await recording.end()
        await told.recorder.close()
        assert told.events == []

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []


def test_a_full_queue_drops_the_newest_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 200)

    async def work() -> None:
        told = Told(tmp_path)
        recording = begin(told, "c1")
        await recording.end()
        stored = told.events[-1][1]
        assert isinstance(stored, events.RecordingStored)
        assert stored.lost_ms == pytest.approx(2 * 1000 * LENGTH_S - 200 * 20, abs=1)
        await told.recorder.close()
        assert told.recorder.lost_s == pytest.approx(stored.lost_ms / 1000)

    asyncio.run(work())


def test_a_stuck_disk_ends_all_recordings_and_no_call_waits(tmp_path: Path) -> None:
    stuck = threading.Event()

    def write(descriptor: int, data: bytes) -> int:
        stuck.wait()
        return os.write(descriptor, data)

    async def work() -> None:
        told = Told(tmp_path, write)
        recording = begin(told, "c1")
        other = begin(told, "c2")
        await told.until(lambda: told.recorder._busy_since is not None and not told.recorder.queue)
        now = time.monotonic()
        told.recorder.check(now + STUCK_S - 1)
        assert events.RecordingFailed not in told.kinds("c1")
        told.recorder.check(now + STUCK_S)
        told.recorder.check(now + STUCK_S + 1)
        for one in (recording, other):
            assert one.state == "failed"
            assert one.over.done()
        recording.caller("opus", now, 0, 960, b"x")
        assert not told.recorder.queue
        stuck.set()
        await told.recorder.close()
        await asyncio.sleep(0)
        assert recording.state == "failed"
        for call_id in ("c1", "c2"):
            assert told.kinds(call_id).count(events.RecordingFailed) == 1
            assert events.RecordingStored not in told.kinds(call_id)

    asyncio.run(work())


def test_the_first_error_ends_one_recording_and_no_other(tmp_path: Path) -> None:
    def write(descriptor: int, data: bytes) -> int:
        if "c1" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(5, "Input/output error")
        return os.write(descriptor, data)

    async def work() -> None:
        told = Told(tmp_path, write)
        first, second = begin(told, "c1"), begin(told, "c2")
        await asyncio.gather(first.end(), second.end())
        assert [first.state, second.state] == ["failed", "stored"]
        failed = next(event for _call_id, event in told.events if isinstance(event, events.RecordingFailed))
        assert "Input/output error" in failed.detail
        await told.recorder.close()

    asyncio.run(work())


def test_a_pause_is_in_force_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        told = Told(tmp_path)
        recording = told.recorder.begin("c1")
        assert recording.pause()
        assert not recording.pause()
        recording.caller("opus", 1000.0, 0, 960, b"secret")
        recording.agent("opus", 1000.0, 0, 960, b"secret")
        assert all(packet is not None and packet.payload == b"" for _recording, packet in told.recorder.queue)
        assert recording.resume()
        assert not recording.resume()
        await recording.end()
        assert not recording.pause()
        assert told.kinds("c1")[:2] == [events.RecordingPaused, events.RecordingResumed]
        await told.recorder.close()

    asyncio.run(work())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"flag --record-folder: .*file/inside cannot be created: Not a directory"
    ):
        check_folder(tmp_path / "file" / "inside", "flag --record-folder")
    check_folder(tmp_path / "new" / "inside", "flag --record-folder")
    assert (tmp_path / "new" / "inside").is_dir()
