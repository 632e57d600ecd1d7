"""Note the state of calls' recordings, and move finished ones into the record store.

Without a `record_store`, recordings stay in `record_folder`, which then serves as the store. What a killed process
left unfinished is noted by the next one, once its files have been completed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from agent import events
from agent.record.recorder import RecordingEvent
from agent.record.repair import length_ms
from agent.settings import Settings
from signaling.history.complaints import Complaints
from signaling.history.history import History
from signaling.history.left import Left
from signaling.history.objects import NotStored, Objects, StoreError
from signaling.history.record import CallStart, Recording

logger = logging.getLogger(__name__)

PAUSES_S = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Pauses between tries to store a recording; after the last one its file stays where it is."""

LAST_MOVES_S = 10.0


def stays(settings: Settings) -> bool:
    """Return True if recordings stay in the folder in which they are written."""
    store = settings.record_store
    if store is None:
        return True
    parts = urlsplit(store)
    if parts.scheme not in ("", "file"):
        return False
    return Path(parts.path if parts.scheme else store).resolve() == Path(settings.record_folder).resolve()


class RecordingKeeper:
    """Takes the recorder's events, and notes the state of each recording.

    Args:
        settings: say where recordings are written and stored.
        history: where the states are noted.
    """

    def __init__(self, settings: Settings, history: History) -> None:
        self._history, self._folder = history, Path(settings.record_folder)
        self._store = None if stays(settings) else history.objects
        self._calls: dict[str, CallStart] = {}
        self._moves: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(logger)

    def watch(self, start: CallStart, over: asyncio.Future[None]) -> None:
        """Expect a call's recording.

        Args:
            start: the call.
            over: done once nothing more will be written and no further event follows.
        """
        self._calls[start.call_id] = start
        over.add_done_callback(lambda _over: self._calls.pop(start.call_id, None))

    def note(self, call_id: str, event: RecordingEvent) -> None:
        """Take an event of a recording; for `Recorder.listeners`."""
        start = self._calls.get(call_id)
        if start is None:
            return
        match event:
            case events.RecordingStarted():
                self._history.recording(start, Recording(state="writing", key=event.key))
            case events.RecordingFailed():
                self._history.recording(start, Recording(state="failed", key=event.key))
            case events.RecordingStored():
                stored = Recording(
                    state="stored",
                    key=event.key,
                    duration_ms=event.duration_ms,
                    size_bytes=event.bytes,
                    lost_ms=event.lost_ms,
                )
                self._keep(start, stored)

    async def settle(self, completed: Collection[str]) -> None:
        """Note what became of the recordings that an earlier process left unfinished.

        Args:
            completed: the keys of the recordings that have just been completed.
        """
        await self._history.ready()
        keys = {PurePosixPath(key).stem: key for key in completed}
        for left in self._history.left:
            key = left.key or keys.get(left.start.call_id)
            if key is not None:
                await self._settle(left, key)
        self._history.left.clear()
        for call_id in await self._history.erased_among(keys) if keys else ():
            (self._folder / keys[call_id]).unlink(missing_ok=True)

    async def close(self) -> None:
        """Give moves under way `LAST_MOVES_S` to finish; files not moved by then stay where they are."""
        if self._moves:
            left = (await asyncio.wait(self._moves, timeout=LAST_MOVES_S))[1]
            for task in left:
                task.cancel()
            if left:
                logger.warning("history: %d recordings were not stored; they are in %s", len(left), self._folder)

    def _keep(self, start: CallStart, stored: Recording) -> None:
        if self._store is None:
            self._history.recording(start, stored)
        else:
            # This notes the length, in case the process is killed between the move and the note of it.
            self._history.recording(start, replace(stored, state="writing"))
            self._begin_move(start, stored, self._store)

    async def _settle(self, left: Left, key: str) -> None:
        path = self._folder / key
        lasts_ms = await asyncio.to_thread(length_ms, path)
        stored = Recording(
            state="stored", key=key, duration_ms=lasts_ms, lost_ms=left.lost_ms, cut_off=left.cut_off
        )
        if lasts_ms is not None:
            self._keep(left.start, replace(stored, size_bytes=path.stat().st_size))
            return
        try:  # it may have been moved, only that was not noted any more
            size = None if self._store is None else (await self._store.look(key)).size_bytes
        except NotStored:
            size = None
        except StoreError as error:  # the next start tries again
            self._complaints.tell("history: it is not known whether a recording is stored", error)
            return
        if size is None:
            self._history.recording(left.start, Recording(state="failed", key=key))
        else:
            self._history.recording(left.start, replace(stored, size_bytes=size, duration_ms=left.duration_ms))

    def _begin_move(self, start: CallStart, stored: Recording, store: Objects) -> None:
        """Begin to move a finished file in a task, which ends with the last try, or in `close`."""
        task = asyncio.create_task(self._move(start, stored, store), name=f"store-{start.call_id}")
        self._moves.add(task)
        task.add_done_callback(self._moves.discard)

    async def _move(self, start: CallStart, stored: Recording, store: Objects) -> None:
        assert stored.key is not None
        for pause_s in (*PAUSES_S, None):
            try:
                await store.move_in(stored.key, self._folder / stored.key)
            except StoreError as error:
                self._complaints.tell(f"history: a recording is not stored yet, it is in {self._folder}", error)
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
            else:
                self._history.recording(start, stored)
                return
        self._history.recording(start, Recording(state="failed", key=stored.key))
