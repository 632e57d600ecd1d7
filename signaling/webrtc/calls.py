"""The calls of this process: who owns them, how they are found, how they end.

`Calls` owns one task per call (`_own`); it ends when the call has ended and its peer connection is closed.
Nothing else in the service knows in which process a call lives.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aiortc import RTCPeerConnection

from agent.author.hooks import NO_HOOKS, Hooks
from agent.call.call import Call, Observer
from agent.call.hooks import CallHooks, HookCounts
from agent.call.stats import CallStats, media_stats, notable
from agent.clock import monotonic
from agent.dialog.budget import Spent
from agent.dialog.daily import Budgets, DailyLimit
from agent.errors import OfferError
from agent.events import Event, Fault
from agent.isolate import isolated_async
from agent.live.uplink import BYTES_PER_S as UPLINK_BYTES_PER_S
from agent.media.inbound import Ear
from agent.overload import Overload
from agent.settings import Settings
from signaling.dialects.rates import Rates
from signaling.process.audit import Audit
from signaling.process.descriptors import Descriptors
from signaling.webrtc.candidates import CandidateGate
from signaling.webrtc.peer import close_peer
from signaling.webrtc.pending import Pending, Slot, holder_of
from signaling.webrtc.sdp import DEFAULT_MESSAGE_BYTES
from signaling.webrtc.watch import watch_connection

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
GREETING_TIMEOUT_S = 5.0
END_TIMEOUT_S = 25.0  # more than all the others of one call
RETRY_AFTER_S = 5
ENDED_KNOWN_S = 60.0
MAX_ENDED_KNOWN = 8192  # more than end in a minute
HURRY_LAG_S = 0.01  # half a packet: nobody hears it yet, and larger chunks may still avert worse


_USED_UP: dict[DailyLimit, tuple[str, str]] = {
    "daily_budget": ("daily_budget_spent", "What calls may cost within 24 hours is spent."),
    "daily_minutes": ("daily_minutes_used", "Calls have lasted as long as they may within 24 hours."),
}


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Told:
    """What the client could not be told as it was, and what it said that could not be taken.

    Attributes:
        shortened: messages that were too long for it.
        dropped: messages that it never gets, because it does not read, or because nothing of them fits.
        failed: its own messages at which the service failed.
    """

    shortened: int = 0
    dropped: int = 0
    failed: int = 0


@dataclass(eq=False, slots=True)
class Leg:
    """A call and what carries it: a peer connection, or a carrier's WebSocket.

    Attributes:
        call: the call.
        peer: its peer connection; None if there is none.
        ear: where the caller is heard; None if the caller only listens.
        ufrags: ICE user name fragments of the offer, to tell a restart from a trickle.
        etag: names the ICE generation (RFC 9725 section 4.4), quotes included.
        wants_events: the offer has a data channel, so the client can be told why a call ended early.
        greeted: set once a dialect has taken over the data channel, or it never will.
        last_words: awaited before the peer connection closes, to let the last messages out.
        answered: set once both sides are there; from the start, unless the service itself called.
        watch: ends the call when the connection is gone; `watch_connection` if None.
        phone: what is known of the telephone on the other side, for `GET` on the call; None if there is none.
        max_message_bytes: the longest message that the client takes on its data channel.
        told: counts of what went wrong on the data channel.
        path: set once the caller is known to be there; only then is the Live session opened.
        gate: admits the caller's candidates; None if there are none.
        slot: the room that it has until it is connected.
        rates: how much the client may still send, on the data channel and by HTTP.
    """

    call: Call
    peer: RTCPeerConnection | None
    ear: Ear | None
    ufrags: frozenset[str]
    etag: str
    wants_events: bool
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    last_words: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=_set_event)
    watch: Callable[[], Awaitable[None]] | None = None
    phone: dict[str, Any] | None = None
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES
    told: Told = field(default_factory=Told)
    path: asyncio.Event = field(default_factory=_set_event)
    gate: CandidateGate | None = None
    slot: Slot | None = None
    rates: Rates = field(default_factory=Rates)

    @property
    def pc(self) -> RTCPeerConnection:
        """Its peer connection.

        Raises:
            OfferError: 409, the call has none.
        """
        if self.peer is None:
            raise OfferError(409, "no_peer_connection", "This call is not carried by a peer connection.")
        return self.peer

    def let_go(self) -> None:
        """Break what holds the leg and its call, once both are over: their memory goes with the last reference."""
        self.last_words.clear()
        self.watch = self.ear = None
        self.call.let_go()

    def state(self) -> dict[str, Any]:
        """Return what `GET` on the call tells."""
        state: dict[str, Any] = {"id": self.call.call_id}
        if self.peer is not None:
            state["connection"] = self.peer.connectionState
        if self.phone is not None:
            state["phone"] = {**self.phone, "answered": self.answered.is_set()}
        if self.call.keypad.pressed:
            state["dtmf"] = self.call.keypad.pressed
        return state


class EndedCalls:
    """The ids of calls that ended within the last `ENDED_KNOWN_S`, `MAX_ENDED_KNOWN` of them at most."""

    def __init__(self) -> None:
        self._ended_at: dict[str, float] = {}  # oldest first

    def note(self, call_id: str, now: float) -> None:
        """Take in a call that has ended."""
        self._ended_at[call_id] = now
        while len(self._ended_at) > MAX_ENDED_KNOWN or not self.knows(next(iter(self._ended_at)), now):
            del self._ended_at[next(iter(self._ended_at))]

    def knows(self, call_id: str, now: float) -> bool:
        """Tell whether that call has ended, and lately."""
        ended_at = self._ended_at.get(call_id)
        return ended_at is not None and now - ended_at < ENDED_KNOWN_S


class Calls:
    """Own the calls of this process.

    Args:
        settings: the service's settings.
        outage: see the attribute.
        hooks: what the agent wants to be told of each call.
    """

    def __init__(
        self, settings: Settings, outage: Callable[[], str | None] = lambda: None, hooks: Hooks = NO_HOOKS
    ) -> None:
        self.started = 0
        self.ended: Counter[str] = Counter()
        "Calls that ended, by reason."
        self.events: Counter[tuple[str, str]] = Counter()
        "What happened in all calls, see `agent.call.stats.notable`."
        self.video_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="video")
        "Makes the pictures of all calls; its thread starts with the first."
        self.audit = Audit()
        "Where it is written who called."
        self.outage = outage
        "Says why no call can be answered now; None if one can."
        self.overload = Overload(settings.overload_lag_ms / 1e3)
        "While active, no call is accepted."
        self.hurry = Overload(HURRY_LAG_S)
        "While active, calls send larger chunks."
        self.refused: Counter[str] = Counter()
        "Offers that found no room, by reason."
        self.candidates_ignored: Counter[str] = Counter()
        "Callers' candidates that no checks were sent to, by reason."
        self.made_room = 0
        "Calls that were given up before they were connected, because others wanted in."
        self.observers: list[Observer] = []
        "Are handed every event of all calls, as `Call.observe` says."
        self.budgets = Budgets(
            budget_usd=settings.daily_budget_usd,
            minutes=settings.daily_minutes,
            key_budget_usd=settings.key_daily_budget_usd,
            key_minutes=settings.key_daily_minutes,
        )
        "What calls may come to within a day."
        self._settings = settings
        self._hooks = hooks
        self._hook_counts = HookCounts()
        self._of_ended = CallStats()
        self._spent_by_ended = Spent()
        self._legs: dict[str, Leg] = {}
        self._descriptors = Descriptors(monotonic)
        self._pending = Pending()
        self._negotiating = 0  # slots for which there is no leg yet
        self._giving_way: set[str] = set()  # legs that end to make room
        self._crowded = False
        self._over = EndedCalls()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._legs)

    @property
    def draining(self) -> bool:
        """True once no further call is accepted."""
        return self._draining

    @property
    def pending(self) -> int:
        """How many calls are negotiated, or answered and not connected; a gateway's are not among them."""
        return len(self._pending)

    @property
    def full(self) -> bool:
        """True while as many calls run, or are negotiated, as are allowed."""
        running = len(self._legs) + self._negotiating - len(self._giving_way)
        return running >= self._settings.max_calls

    def note_lag(self, lag_s: float) -> None:
        """Take how late the event loop was; to be called as `Overload.note` is."""
        before = self.overload.active
        self.overload.note(lag_s)
        self.hurry.note(lag_s)
        if self.overload.active and not before:
            logger.warning("the event loop is late with %d calls: no more are accepted for now", len(self))
        elif before and not self.overload.active:
            logger.info("the event loop is on time again: calls are accepted")

    def stats(self) -> CallStats:
        """Add up the counters of all calls since the start, ended ones too."""
        total = replace(self._of_ended)
        for leg in self._legs.values():
            total.add(leg_stats(leg))
        total.hook_errors, total.hook_events_dropped = self._hook_counts.failed, self._hook_counts.dropped
        return total

    def spent(self) -> Spent:
        """Add up what all calls since the start have used and cost."""
        total = Spent()
        total.add(self._spent_by_ended)
        for leg in self._legs.values():
            total.add(leg.call.meter.spent)
        return total

    def check_budget(self, key: str | None) -> None:
        """Refuse a call that there is no money or time left for.

        Args:
            key: names the key that it came with; None if it came without.

        Raises:
            OfferError: 429.
        """
        now = monotonic()
        purse = self.budgets.purse(key)
        limit = purse.reached(now)
        if limit is not None:
            self.budgets.refused[limit] += 1
            retry_after_s = max(1, math.ceil(purse.free_in_s(now)))
            raise OfferError(429, *_USED_UP[limit], retry_after_s=retry_after_s)

    @contextmanager
    def slot(self, address: str | None, *, bounded: bool) -> Iterator[Slot]:
        """Hold room for a call while it is negotiated; `start` takes it over.

        Args:
            address: from where it was asked for.
            bounded: it counts as pending until it is connected; not where others vouch for the caller.

        Raises:
            OfferError: 503, there is none.
        """
        slot = Slot(holder_of(address) if bounded else None, monotonic())
        refusal = self._refusal(slot)
        if refusal is not None:
            self.refused[refusal.code] += 1
            raise refusal
        self._negotiating += 1
        self._pending.add(slot)
        try:
            yield slot
        finally:
            if slot.call_id is None:
                self._negotiating -= 1
                self._pending.remove(slot)

    def _refusal(self, slot: Slot) -> OfferError | None:
        """Say why there is no room for another call; None if there is, or was made."""
        most, most_pending = self._settings.max_calls, self._settings.most_pending
        if self._draining:
            return _no_room("draining", "The service is shutting down.")
        outage = self.outage()
        if outage is not None:
            return _no_room("unavailable", outage)
        if self._descriptors.short():
            return _no_room("out_of_descriptors", "The service has too few file descriptors for another call.")
        if self.overload.active:
            return _no_room("overloaded", "The running calls need all the time there is.")
        crowded = slot.holder is not None and len(self._pending) >= most_pending
        if crowded and not self._crowded:
            logger.warning(
                "%d calls are not connected yet: old ones make room, or offers are refused", most_pending
            )
        self._crowded = crowded or (self._crowded and len(self._pending) > most_pending // 2)
        if (self.full or crowded) and not self._make_room(slot):
            if self.full:
                return _no_room("full", f"All {most} calls are in use.")
            return _no_room("pending_full", f"{most_pending} callers have an answer and are not connected yet.")
        return None

    def _make_room(self, slot: Slot) -> bool:
        """Give up a call that is not connected, if that is just; see `signaling.webrtc.pending`."""
        victim = self._pending.next_to_go(slot.holder, slot.since)
        if victim is None or victim.call_id is None:
            return False
        self._pending.remove(victim)
        self._giving_way.add(victim.call_id)
        self.made_room += 1
        detail = "No media connection came about, and other callers needed the place."
        self._legs[victim.call_id].call.hang_up("never_connected", detail, "network")
        return True

    def _connected(self, leg: Leg) -> None:
        """Note that a call is up."""
        leg.path.set()
        if leg.slot is not None:
            self._pending.remove(leg.slot)

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
        """End a call; if it has just ended, that is what the client wants (RFC 9110 section 9.2.2).

        Args:
            call_id: the call's.
            detail: one sentence for a person.
            fault: who hangs up.

        Raises:
            OfferError: 404.
        """
        leg = self._legs.get(call_id)
        if leg is not None:
            leg.call.hang_up("hung_up", detail, fault)
        elif not self._over.knows(call_id, monotonic()):
            raise _unknown_call()

    def start(self, leg: Leg, slot: Slot) -> None:
        """Take over a call and run it.

        Args:
            leg: the call.
            slot: its room, from `slot`.

        Raises:
            OfferError: 503, the service has begun to shut down.
        """
        if self._draining:
            raise _no_room("draining", "The service is shutting down.")
        self.started += 1
        self.audit.watch(leg.call)
        self._negotiating -= 1
        leg.slot, slot.call_id = slot, leg.call.call_id
        for observer in (self._count, *self.observers):
            leg.call.observe(observer)
        hooks = CallHooks(self._hooks, leg.call, self._hook_counts) if self._hooks else None
        if hooks is not None:
            leg.call.observe(hooks.note)
        self._legs[leg.call.call_id] = leg
        self._idle.clear()
        task = asyncio.create_task(self._own(leg, hooks), name=f"call-{leg.call.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self, event: Event) -> None:
        named = notable(event)
        if named is not None:
            self.events[named] += 1

    async def drain(self, timeout_s: float) -> None:
        """Accept no more calls, give the running ones time to end, then end them."""
        self._draining = True
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
        self.video_worker.shutdown(cancel_futures=True)  # waits for one picture at most

    async def _own(self, leg: Leg, hooks: CallHooks | None) -> None:
        """Run the call to its end; whatever happens in it stays in it."""
        call = leg.call
        logger.info("call %s: started", call.call_id)
        watch = asyncio.create_task(self._watch(leg), name=f"watch-{call.call_id}")
        try:
            ended = await call.run(leg.ear, leg.path)
            logger.log(
                logging.WARNING if ended.is_error else logging.INFO,
                "call %s: ended: %s (fault: %s): %s",
                call.call_id,
                ended.reason,
                ended.fault,
                ended.detail,
            )
            if ended.reason in ("live_refused", "live_lost") and leg.wants_events:
                await self._wait_for_ear(leg)
        except Exception:
            logger.exception("call %s: failed", call.call_id)
        finally:
            watch.cancel()
            if leg.slot is not None:
                self._pending.remove(leg.slot)
            await self._close(leg)
            if hooks is not None:
                await hooks.end()

    async def _wait_for_ear(self, leg: Leg) -> None:
        """A call that failed at once still tells its client why: let the data channel open first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                await leg.greeted.wait()

    async def _close(self, leg: Leg) -> None:
        async def close() -> None:
            for finish in leg.last_words:
                await isolated_async(f"call {leg.call.call_id}: its farewell", finish)
            if leg.peer is not None:
                await close_peer(leg.peer)

        try:
            # Not asyncio.timeout: before Python 3.11.4 it raises CancelledError in a task that is being cancelled.
            await asyncio.wait_for(close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            logger.warning("call %s: its peer connection did not close in time", leg.call.call_id)
        except Exception:
            logger.exception("call %s: its peer connection did not close", leg.call.call_id)
        finally:
            del self._legs[leg.call.call_id]
            self._giving_way.discard(leg.call.call_id)
            self._over.note(leg.call.call_id, monotonic())
            self._of_ended.add(leg_stats(leg))
            self._spent_by_ended.add(leg.call.meter.spent)
            self.ended[leg.call.ended.reason if leg.call.ended else "unknown"] += 1
            if not self._legs:
                self._idle.set()
            leg.let_go()

    async def _watch(self, leg: Leg) -> None:
        """Ends the call when its connection is gone; ends then, or with the call."""
        await leg.answered.wait()
        if leg.watch is not None:
            await leg.watch()
        else:
            await watch_connection(leg.pc, leg.call, self._settings, monotonic, lambda: self._connected(leg))
        leg.greeted.set()


def _no_room(code: str, detail: str) -> OfferError:
    return OfferError(503, code, detail, retry_after_s=RETRY_AFTER_S)


def _unknown_call() -> OfferError:
    return OfferError(404, "unknown_call", "There is no such call; it may have ended.")


def leg_stats(leg: Leg) -> CallStats:
    """Read the counters of a call."""
    stats = media_stats(leg.ear, leg.call.voice, leg.call.eyes)
    stats.uplink_dropped_s = leg.call.live.uplink.dropped_bytes / UPLINK_BYTES_PER_S
    live = leg.call.live
    stats.unreadable_messages = live.unreadable_messages
    stats.left_unanswered = leg.call.unanswered
    stats.sessions, stats.outage_s, stats.replayed_s = live.sessions, live.outage_s, live.replayed_audio_s
    told = leg.told
    stats.messages_shortened, stats.messages_dropped, stats.messages_failed = (
        told.shortened,
        told.dropped,
        told.failed,
    )
    stats.messages_refused, stats.keys_dropped = leg.rates.refused, leg.call.keys_dropped
    stats.observer_errors = leg.call.observer_errors
    return stats
