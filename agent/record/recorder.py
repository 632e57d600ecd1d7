"""Record calls: the event loop queues packets, and one thread writes the packets of all calls.

The thread checks for packets every `POLL_S`; waking it for each packet would cost far more. It writes what
it finds in one batch per call. A slow or stuck disk makes the queue longer but never delays a call.

The queue is bounded: when it is full, the newest packets are dropped and counted, and the recording has silence in
their place. A recording ends at the first error of its file, or when the disk is stuck for `STUCK_S`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from agent import events
from agent.clock import Clock, monotonic, unix
from agent.errors import ConfigError
from agent.isolate import ignore, isolated, isolated_async
from agent.record.file import MUX_ERRORS, PART, CallFile, PartFile, Write, suffix_of
from agent.record.repair import repair_folder
from agent.record.tape import CLOCKS_HZ, Packet, Piece, Tape

logger = logging.getLogger(__name__)

POLL_S = 0.25
MAX_QUEUED = 64 << 10  # packets of all calls: six seconds of a hundred calls
STUCK_S = 10.0
WATCH_S = 1.0
END_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 5.0

RecordingState = Literal["waiting", "recording", "paused", "failed", "stored"]
STATES = ("started", "stored", "failed", "repaired")
"""The states that `Recorder.counts` counts."""
RecordingEvent = (
    events.RecordingStarted
    | events.RecordingPaused
    | events.RecordingResumed
    | events.RecordingFailed
    | events.RecordingStored
)


class Recording:
    """The recording of one call, as the event loop sees it. Nothing is written unless the call has media.

    Args:
        recorder: writes the recording.
        call_id: the call's id.
    """

    def __init__(self, recorder: Recorder, call_id: str) -> None:
        self.call_id = call_id
        self.state: RecordingState = "waiting"
        "``waiting`` until the file exists, which takes a second."
        self.tell: Callable[[RecordingEvent], None] = ignore
        "Takes the recording's events, in the event loop."
        self.dropped_s = 0.0
        "How much of both sides, in seconds, did not fit into the queue."
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        "Done once nothing more will be written."
        self.failed = False
        "True if nothing more can be written; ``state`` follows."
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self.paused = False
        "True while nothing that is said is recorded."
        self._ended = False

    @property
    def active(self) -> bool:
        """True until the call is over, or the recording has failed."""
        return not self._ended

    def caller(self, codec: str, now: float, timestamp: int, ticks: int, payload: bytes) -> None:
        """Take a packet from the caller; see `agent.record.tape.Packet`."""
        if not self._ended:
            self._take(Packet("caller", codec, now, timestamp, ticks, b"" if self.paused else payload))

    def agent(self, codec: str, now: float, timestamp: int, ticks: int, payload: bytes) -> None:
        """Take a packet from the agent; see `agent.record.tape.Packet`."""
        if not self._ended:
            self._take(Packet("agent", codec, now, timestamp, ticks, b"" if self.paused else payload))

    def restarted(self) -> None:
        """Note that the caller's stream was restarted."""
        if not self._ended and len(self._recorder.queue) < MAX_QUEUED:
            self._recorder.queue.append((self, None))

    def pause(self) -> bool:
        """Record nothing that is said from now on; return False if there is nothing to pause."""
        if self.paused or self._ended:
            return False
        self.paused = True
        if self.state == "recording":
            self.state = "paused"
        self._recorder.tell(self, events.RecordingPaused())
        return True

    def resume(self) -> bool:
        """Record again what is said; return False if it was not paused."""
        if not self.paused or self._ended:
            return False
        self.paused = False
        if self.state == "paused":
            self.state = "recording"
        self._recorder.tell(self, events.RecordingResumed())
        return True

    async def end(self) -> None:
        """Finish the file; on a slow disk, this returns before it is finished."""
        self.stop()
        self._recorder.finish(self)
        await asyncio.wait([self.over], timeout=END_TIMEOUT_S)

    def stop(self) -> None:
        """Take no more packets."""
        self._ended = True

    def happened(self, event: RecordingEvent) -> None:
        """Take an event from the writer; runs in the event loop."""
        if self.state == "failed":
            return
        match event:
            case events.RecordingStarted() if self.state == "waiting":
                self.state = "paused" if self.paused else "recording"
            case events.RecordingFailed():
                self.state = "failed"
                self.stop()
            case events.RecordingStored():
                self.state = "stored"
        self._recorder.tell(self, event)

    def let_go(self) -> None:
        """Drop the reference to the call, which is over or will never run."""
        self.tell = ignore

    def call_in_loop(self, work: Callable[[], None]) -> None:
        """Have the event loop call a function; used by the writer's thread."""
        with suppress(RuntimeError):  # the loop is closed, so nobody is left to be told
            self._loop.call_soon_threadsafe(work)

    def release(self) -> None:
        """Wake whoever is waiting for the end."""
        if not self.over.done():
            self.over.set_result(None)

    def _take(self, packet: Packet) -> None:
        queue = self._recorder.queue
        if len(queue) < MAX_QUEUED:
            queue.append((self, packet))
        else:
            self.dropped_s += packet.ticks / CLOCKS_HZ[packet.codec]


class Recorder:
    """Writes the recordings of one process.

    Args:
        folder: the folder for recordings.
        write: writes to the disk.
        clock: monotonic seconds.
    """

    def __init__(self, folder: Path, *, write: Write = os.write, clock: Clock = monotonic) -> None:
        self.folder = folder
        self.queue: deque[tuple[Recording, Packet | None]] = deque()
        "The packets to be written; None means that the caller's stream was restarted."
        self.counts: Counter[str] = Counter()
        "The number of recordings in each of `STATES`."
        self.lost_s = 0.0
        "How many seconds are missing in all finished recordings."
        self.listeners: list[Callable[[str, RecordingEvent], None]] = []
        "Called in the event loop with the call's id and each event of its recording, even after the call."
        self.completed: Callable[[list[str]], Awaitable[None]] | None = None
        "Awaited once `repair` is done, with the keys of the recordings that it has completed."
        self._write, self._clock = write, clock
        self._ending: deque[Recording] = deque()
        self._writers: dict[Recording, _Writer] = {}  # changed by the thread only; others only read it
        self._busy_since: float | None = None
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def begin(self, call_id: str) -> Recording:
        """Return the recording for a call that is about to begin."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            self._thread.start()
        return Recording(self, call_id)

    def finish(self, recording: Recording) -> None:
        """Have a recording finished once all its packets have been written."""
        self._ending.append(recording)
        self._wake.set()

    def tell(self, recording: Recording, event: RecordingEvent) -> None:
        """Pass an event to the call, if it is still running, and to the listeners."""
        name = {
            events.RecordingStarted: "started",
            events.RecordingStored: "stored",
            events.RecordingFailed: "failed",
        }.get(type(event))
        if name is not None:
            self.counts[name] += 1
        recording.tell(event)
        for listener in self.listeners:
            isolated(
                f"call {recording.call_id}: a listener to its recording",
                partial(listener, recording.call_id, event),
            )

    async def repair(self) -> None:
        """Complete the files that an earlier process left behind, while calls run; see `agent.record.repair`."""
        completed = await asyncio.to_thread(repair_folder, self.folder) if self.folder.is_dir() else []
        self.counts["repaired"] += len(completed)
        if self.completed is not None:
            keys = [path.relative_to(self.folder).as_posix() for path in completed]
            await isolated_async("recordings of an earlier process", partial(self.completed, keys))

    async def watch(self) -> None:
        """Give up recordings whenever the disk is stuck, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.check(self._clock())

    def check(self, now: float) -> None:
        """Give up all recordings if the disk has been stuck for `STUCK_S`: nothing else can write them."""
        busy_since = self._busy_since
        if busy_since is None or now - busy_since < STUCK_S:
            return
        for recording, writer in list(self._writers.items()):
            if not recording.failed:
                recording.failed = writer.given_up = True
                logger.error("call %s: its recording is given up: the disk is stuck", recording.call_id)
                recording.happened(events.RecordingFailed(writer.key, f"The disk was stuck for {STUCK_S:g} s."))
                recording.release()

    async def close(self) -> None:
        """Finish all recordings, within `CLOSE_TIMEOUT_S`, and end the thread."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)
            if self._thread.is_alive():
                logger.error("recordings are left unfinished: the disk is stuck")

    # The methods below run in the thread.

    def _run(self) -> None:
        """Write until `close`."""
        while True:
            self._wake.wait(POLL_S)
            self._wake.clear()
            closing, ending = self._closing, set(self._ending)
            self._busy_since = self._clock()
            self._write_all(finish=ending)
            if closing:
                self._write_all(finish=set(self._writers))
            self._busy_since = None
            for recording in ending:
                self._ending.remove(recording)
                recording.call_in_loop(recording.release)
            if closing:
                return

    def _write_all(self, finish: set[Recording]) -> None:
        """Write all packets that have come, then finish some recordings."""
        now, found = self._clock(), dict[Recording, list[Packet | None]]()
        for _ in range(len(self.queue)):
            recording, packet = self.queue.popleft()
            found.setdefault(recording, []).append(packet)
        for recording in found:
            if recording not in self._writers and not recording.failed:
                self._writers[recording] = _Writer(recording, self.folder, self._write)
        for recording, writer in list(self._writers.items()):
            over = recording in finish
            work = partial(self._advance, writer, found.get(recording, []), now, finish=over)
            if not isolated(f"call {recording.call_id}: its recording", work):
                self._fail(writer, "The service failed.")
            if writer.given_up:
                writer.give_up()
            if over or writer.given_up:
                self.lost_s += recording.dropped_s + writer.tape.left_out_s
                del self._writers[recording]

    def _advance(self, writer: _Writer, packets: list[Packet | None], now: float, *, finish: bool) -> None:
        if writer.given_up:
            return
        try:
            writer.write(packets, now, finish=finish)
        except MUX_ERRORS as error:
            self._fail(writer, f"It cannot be written: {_why(error)}.")

    def _fail(self, writer: _Writer, detail: str) -> None:
        recording = writer.recording
        recording.failed = writer.given_up = True
        logger.error("call %s: its recording failed: %s", recording.call_id, detail)
        recording.stop()
        recording.call_in_loop(partial(recording.happened, events.RecordingFailed(writer.key, detail)))


class _Writer:
    """Writes one recording, in the thread.

    Args:
        recording: the recording.
        folder: the folder for recordings.
        write: writes to the disk.
    """

    def __init__(self, recording: Recording, folder: Path, write: Write) -> None:
        self.recording = recording
        self.given_up = False
        "True if nothing more will be written."
        self.tape = Tape()
        self.key = key_of(recording.call_id, unix(), "")
        self._folder = folder
        self._write = write
        self._disk: PartFile | None = None
        self._file: CallFile | None = None

    def write(self, packets: list[Packet | None], now: float, *, finish: bool) -> None:
        """Write the packets that have come; raises one of `MUX_ERRORS`."""
        tape, pieces = self.tape, list[Piece]()
        for packet in packets:
            pieces += tape.restart() if packet is None else tape.put(packet)
        pieces += tape.finish() if finish else tape.idle(now)
        if tape.started and self._file is None:
            self._open()
        if self._file is not None:
            self._file.write(pieces)
            if finish:
                self._finish()

    def give_up(self) -> None:
        """Leave the file as it is; it is repaired when the service starts again."""
        if self._file is not None:
            with suppress(*MUX_ERRORS):
                self._file.give_up()
            self._file = None
        self._release_disk()

    def _open(self) -> None:
        self.key += suffix_of(self.tape.codecs)
        self._disk = PartFile(self._folder / f"{self.key}{PART}", self._write)
        self._file = CallFile(self._disk, self.tape.codecs)
        self._tell(events.RecordingStarted(self.key))

    def _finish(self) -> None:
        assert self._file is not None
        assert self._disk is not None
        self._file.finish()
        size, self._file = self._disk.bytes, None
        path = self._folder / self.key
        (path.parent / f"{path.name}{PART}").rename(path)
        self._release_disk()
        lost_ms = round((self.tape.left_out_s + self.recording.dropped_s) * 1000)
        self._tell(events.RecordingStored(self.key, size, round(self.tape.length_s * 1000), lost_ms))

    def _release_disk(self) -> None:
        disk, self._disk = self._disk, None
        if disk is not None:
            disk.close()

    def _tell(self, event: RecordingEvent) -> None:
        self.recording.call_in_loop(partial(self.recording.happened, event))


def check_folder(folder: Path, source: str) -> None:
    """Create the folder for recordings if it is missing.

    Args:
        folder: the folder.
        source: where its name came from, for the error message.

    Raises:
        ConfigError: recordings cannot be written there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{source}: {folder} cannot be created: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{source}: recordings cannot be written to {folder}: no permission")


def key_of(call_id: str, now: float, suffix: str) -> str:
    """Return a recording's path below the folder: ``YYYY/MM/DD/<call_id>.webm``.

    Args:
        call_id: the call's id.
        now: Unix time in seconds.
        suffix: see `agent.record.file.suffix_of`.
    """
    return f"{datetime.fromtimestamp(now, UTC):%Y/%m/%d}/{call_id}{suffix}"


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
