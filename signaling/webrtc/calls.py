"""The calls of this process: how they are owned, found and ended.

`Calls` owns one task per call (`_own`); it ends when the call has ended and its connection is closed.
Nothing else in the service knows in which process a call lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.author.hooks import NO_HOOKS, Hooks
from agent.call.hooks import CallHooks, HookCounts
from agent.call.stats import CallStats, notable
from agent.call.summary import Summariser
from agent.clock import monotonic
from agent.dialog.budget import Spent
from agent.errors import OfferError
from agent.events import Event, Fault
from agent.overload import Overload
from agent.record.recorder import Recorder
from agent.replay.writer import CaptureWriter
from agent.settings import Settings
from signaling.process.audit import Audit
from signaling.webrtc.admission import Admission
from signaling.webrtc.ended import EndedCalls
from signaling.webrtc.leg import Leg
from signaling.webrtc.pending import Slot
from signaling.webrtc.summaries import Summaries

logger = logging.getLogger(__name__)

VOICES_INTERVAL_S = 2.0  # see `Overload.note_voices`
CLOSE_TIMEOUT_S = 5.0
END_TIMEOUT_S = 25.0  # longer than all other timeouts of one call together
HURRY_LAG_S = 0.01  # half a packet: not audible yet, and larger chunks may still prevent worse


class Calls:
    """Own the calls of this process.

    Args:
        settings: the service's settings.
        outage: see `Admission`.
        hooks: the agent's hooks, which are called for each call.
        summariser: summarises ended calls; None if the agent does not ask for that.
    """

    def __init__(
        self,
        settings: Settings,
        outage: Callable[[], str | None] = lambda: None,
        hooks: Hooks = NO_HOOKS,
        summariser: Summariser | None = None,
    ) -> None:
        self.admission = Admission(settings, outage, self._give_up)
        "Decides whether another call may begin."
        self.started = 0
        self.ended: Counter[str] = Counter()
        "Calls that ended, by reason."
        self.events: Counter[tuple[str, str]] = Counter()
        "Counts of what happened in all calls, see `agent.call.stats.notable`."
        self.video_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="video")
        "Makes the pictures of all calls; its thread starts with the first."
        self.audit = Audit()
        "The audit log, which records who called."
        self.hurry = Overload(HURRY_LAG_S)
        "While active, calls send larger chunks."
        self.candidates_ignored: Counter[str] = Counter()
        "Callers' candidates that connectivity checks were not sent to, by reason."
        self.watchers: list[Callable[[Leg], None]] = []
        "Functions that are given each call before it runs, so that they can observe it."
        self.recorder = Recorder(Path(settings.record_folder))
        "Writes the recordings of calls; its thread starts with the first."
        self._hooks = hooks
        self._hook_counts = HookCounts()
        self.summaries = Summaries(summariser, hooks.on_call_summarised, self._hook_counts)
        "Summarises ended calls."
        self.captures: CaptureWriter | None = None
        "Captures all further calls; None if captures are off."
        if settings.capture_folder is not None:
            self.captures = CaptureWriter(Path(settings.capture_folder))
        self._stats_of_ended = CallStats()
        self._spent_by_ended = Spent()
        self._legs: dict[str, Leg] = {}
        self._over = EndedCalls()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._legs)

    def running(self) -> list[Leg]:
        """Return the calls that have not ended, oldest first."""
        return [leg for leg in self._legs.values() if leg.call.ended is None]

    def note_lag(self, lag_s: float) -> None:
        """Note how late the event loop was; call it whenever `Overload.note` should be called."""
        self.admission.note_lag(lag_s)
        self.hurry.note(lag_s)

    async def watch_voices(self) -> None:
        """Watch, until cancelled, how many packets of the voices leave late, which decides on further calls."""
        while True:
            voices = [leg.call.voice.stats for leg in self._legs.values()]
            self.admission.note_voices(
                self._stats_of_ended.outbound_packets + sum(voice.frames for voice in voices),
                self._stats_of_ended.outbound_late_packets + sum(voice.late_frames for voice in voices),
            )
            await asyncio.sleep(VOICES_INTERVAL_S)

    def stats(self) -> CallStats:
        """Return the summed counters of all calls since the start, including ended ones."""
        total = replace(self._stats_of_ended)
        for leg in self._legs.values():
            total.add(leg.stats())
        total.hook_errors, total.hook_events_dropped = self._hook_counts.failed, self._hook_counts.dropped
        return total

    def spent(self) -> Spent:
        """Return what all calls since the start have used and cost, in total."""
        total = Spent()
        total.add(self._spent_by_ended)
        total.add(self.summaries.spent)
        for leg in self._legs.values():
            total.add(leg.call.meter.spent)
        return total

    def get(self, call_id: str) -> Leg:
        """Find a call that has not ended.

        Raises:
            OfferError: 404.
        """
        leg = self._legs.get(call_id)
        if leg is None or leg.call.ended is not None:
            raise _unknown_call()
        return leg

    def hang_up(self, call_id: str, detail: str, fault: Fault) -> None:
        """End a call; one that has just ended is not an error, since DELETE is idempotent (RFC 9110 section 9.2.2).

        Args:
            call_id: the call's id.
            detail: one sentence for a person.
            fault: who is hanging up.

        Raises:
            OfferError: 404.
        """
        leg = self._legs.get(call_id)
        if leg is not None:
            leg.call.hang_up("hung_up", detail, fault)
        elif not self._over.knows(call_id, monotonic()):
            raise _unknown_call()

    def _give_up(self, call_id: str) -> None:
        """End an unconnected call to make room."""
        detail = "No media connection came about, and other callers needed the place."
        self._legs[call_id].call.hang_up("never_connected", detail, "network")

    def start(self, leg: Leg, slot: Slot) -> None:
        """Take over a call and run it.

        Args:
            leg: the call.
            slot: its room, from `Admission.slot`.

        Raises:
            OfferError: 503, the service has begun to shut down.
        """
        self.admission.check_draining()
        call = leg.call
        self.started += 1
        self.audit.watch(call)
        call.observe(self._count)
        for watch in self.watchers:
            watch(leg)
        hooks = CallHooks(self._hooks, call, self._hook_counts) if self._hooks else None
        if hooks is not None:
            call.observe(hooks.note)
        self._legs[call.call_id] = leg
        slot.call_id = call.call_id  # from here on the leg's owner releases the slot
        self._idle.clear()
        task = asyncio.create_task(self._own(leg, slot, hooks), name=f"call-{call.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self, event: Event) -> None:
        named = notable(event)
        if named is not None:
            self.events[named] += 1

    async def drain(self, timeout_s: float) -> None:
        """Accept no more calls, give the running ones time to end, then end them."""
        self.admission.draining = True
        try:
            if not self._idle.is_set():
                await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            logger.info("draining: %d calls still run after %g s; ending them", len(self._legs), timeout_s)
        for leg in list(self._legs.values()):
            leg.call.hang_up("shutdown", "The service is shutting down.", "operator")
        if self._tasks:
            _done, stuck = await asyncio.wait(self._tasks, timeout=END_TIMEOUT_S)
            if stuck:
                logger.error("draining: %d calls did not end; they are given up", len(stuck))
        await self.summaries.drain()
        if self.captures is not None:
            await asyncio.to_thread(self.captures.finish)
        self.video_worker.shutdown(cancel_futures=True)  # waits for at most one picture
        await self.recorder.close()

    async def _own(self, leg: Leg, slot: Slot, hooks: CallHooks | None) -> None:
        """Run the call to its end; an error in it affects no other call."""
        call_id = leg.call.call_id
        logger.info("call %s: started; trace %s", call_id, leg.call.trace.trace_id)
        watching = leg.watch(partial(self.admission.note_connected, slot))
        watch = asyncio.create_task(watching, name=f"watch-{call_id}")
        try:
            ended = await leg.run()
            logger.log(
                logging.WARNING if ended.is_error else logging.INFO,
                "call %s: ended: %s (fault: %s): %s",
                *(call_id, ended.reason, ended.fault, ended.detail),
            )
            await leg.linger(ended)
        except Exception:
            logger.exception("call %s: failed", call_id)
        finally:
            watch.cancel()
            self.admission.note_connected(slot)
            await self._close(leg, slot)
            if hooks is not None:
                await hooks.end()
            self.summaries.begin(leg.call)

    async def _close(self, leg: Leg, slot: Slot) -> None:
        call = leg.call
        try:
            # Not asyncio.timeout: before Python 3.11.4 it raises CancelledError in a task that is being cancelled.
            await asyncio.wait_for(leg.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            logger.warning("call %s: its connection did not close in time", call.call_id)
        except Exception:
            logger.exception("call %s: its connection did not close", call.call_id)
        finally:
            del self._legs[call.call_id]
            self.admission.release(slot)
            self._over.note(call.call_id, monotonic())
            self._stats_of_ended.add(leg.stats())
            self._spent_by_ended.add(call.meter.spent)
            self.ended[call.ended.reason if call.ended else "unknown"] += 1
            if not self._legs:
                self._idle.set()
            leg.let_go()


def _unknown_call() -> OfferError:
    return OfferError(404, "unknown_call", "There is no such call; it may have ended.")
