"""Decide whether there is room and budget for another call.

A `Slot` holds the room for a call, from before the offer is read until the call's connection is closed.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.clock import monotonic
from agent.dialog.daily import Budgets, DailyLimit
from agent.errors import OfferError
from agent.overload import Overload
from agent.settings import Settings
from signaling.process.descriptors import Descriptors
from signaling.process.machine import room_for_calls
from signaling.webrtc.pending import Pending, Slot, holder_of

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
_USED_UP: dict[DailyLimit, tuple[str, str]] = {
    "daily_budget": ("daily_budget_spent", "What calls may cost within 24 hours is spent."),
    "daily_minutes": ("daily_minutes_used", "Calls have lasted as long as they may within 24 hours."),
}


class Admission:
    """Decides whether another call may begin.

    Args:
        settings: the service's settings.
        outage: see the attribute.
        give_up: called with the id of an unconnected call, to end it in favour of another one.
    """

    def __init__(
        self, settings: Settings, outage: Callable[[], str | None], give_up: Callable[[str], None]
    ) -> None:
        self.outage = outage
        "Returns why no call can be answered now; None if one can."
        self.overload = Overload(settings.overload_lag_ms / 1e3)
        "While active, no call is accepted."
        self.budgets = Budgets(
            budget_usd=settings.daily_budget_usd,
            minutes=settings.daily_minutes,
            key_budget_usd=settings.key_daily_budget_usd,
            key_minutes=settings.key_daily_minutes,
        )
        "How much calls may cost, and how long they may last, within a day."
        self.draining = False
        "True once no further calls are accepted."
        self.refused: Counter[str] = Counter()
        "Offers refused for lack of room, by reason."
        self.made_room = 0
        "Calls that were given up before they were connected, to make room for others."
        self._max_calls = settings.max_calls or room_for_calls()
        self._max_pending = settings.most_pending(self._max_calls)
        self._give_up = give_up
        self._descriptors = Descriptors(monotonic)
        self._slots: set[Slot] = set()
        self._giving_way: set[Slot] = set()  # the slots of calls that end to make room for others
        self._pending = Pending()
        self._crowded = False

    @property
    def pending(self) -> int:
        """The number of calls being negotiated, or answered but not connected, apart from a gateway's calls."""
        return len(self._pending)

    @property
    def full(self) -> bool:
        """True while the calls running and being negotiated reach the limit."""
        return len(self._slots) - len(self._giving_way) >= self._max_calls

    def note_lag(self, lag_s: float) -> None:
        """Note how late the event loop was; call it whenever `Overload.note` should be called."""
        before = self.overload.active
        self.overload.note(lag_s)
        self._tell_overload(before=before)

    def note_voices(self, packets: int, late: int) -> None:
        """Note how many packets the agents have sent, and how many late; call it like `Overload.note_voices`."""
        before = self.overload.active
        self.overload.note_voices(packets, late)
        self._tell_overload(before=before)

    def check_budget(self, key: str | None) -> None:
        """Refuse a call if a daily budget of money or minutes is used up.

        Args:
            key: the name of the key that the call came with; None if it came without one.

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

    def check_draining(self) -> None:
        """Refuse a call once the service shuts down.

        Raises:
            OfferError: 503.
        """
        if self.draining:
            raise _no_room("draining", "The service is shutting down.")

    @contextmanager
    def slot(self, address: str | None, *, bounded: bool) -> Iterator[Slot]:
        """Hold room for a call while it is negotiated; if no call results, the room is freed again.

        Args:
            address: the address that asked for it.
            bounded: the call counts as pending until it is connected; False where others vouch for the caller.

        Raises:
            OfferError: 503, there is no room.
        """
        slot = Slot(holder_of(address) if bounded else None, monotonic())
        refusal = self._refusal(slot)
        if refusal is not None:
            self.refused[refusal.code] += 1
            raise refusal
        self._slots.add(slot)
        self._pending.add(slot)
        try:
            yield slot
        finally:
            if slot.call_id is None:
                self.release(slot)

    def note_connected(self, slot: Slot) -> None:
        """Note that a call is connected or over, so that it is no longer pending."""
        self._pending.remove(slot)

    def release(self, slot: Slot) -> None:
        """Free the room of a call."""
        self._pending.remove(slot)
        self._slots.discard(slot)
        self._giving_way.discard(slot)

    def _refusal(self, slot: Slot) -> OfferError | None:
        """Return why there is no room for another call; None if there is room, or some was made."""
        if self.draining:
            return _no_room("draining", "The service is shutting down.")
        outage = self.outage()
        if outage is not None:
            return _no_room("unavailable", outage)
        if self._descriptors.short():
            return _no_room("out_of_descriptors", "The service has too few file descriptors for another call.")
        if self.overload.active:
            return _no_room("overloaded", "The running calls need all the time there is.")
        crowded = slot.holder is not None and len(self._pending) >= self._max_pending
        self._tell_crowded(crowded=crowded)
        if (self.full or crowded) and not self._make_room(slot):
            if self.full:
                return _no_room("full", f"All {self._max_calls} calls are in use.")
            detail = f"{self._max_pending} callers have an answer and are not connected yet."
            return _no_room("pending_full", detail)
        return None

    def _tell_overload(self, *, before: bool) -> None:
        if self.overload.active and not before:
            running = sum(slot.call_id is not None for slot in self._slots)
            logger.warning("the agents' voices are late with %d calls: no more are accepted for now", running)
        elif before and not self.overload.active:
            logger.info("the agents' voices are on time again: calls are accepted")

    def _tell_crowded(self, *, crowded: bool) -> None:
        """Log once that there are too many pending calls; log it again only after half of them have gone."""
        if crowded and not self._crowded:
            logger.warning(
                "%d calls are not connected yet: old ones make room, or offers are refused", self._max_pending
            )
        self._crowded = crowded or (self._crowded and len(self._pending) > self._max_pending // 2)

    def _make_room(self, slot: Slot) -> bool:
        """Give up an unconnected call, if that is fair; see `signaling.webrtc.pending`."""
        victim = self._pending.next_to_go(slot.holder, slot.since)
        if victim is None or victim.call_id is None:
            return False
        self._pending.remove(victim)
        self._giving_way.add(victim)
        self.made_room += 1
        self._give_up(victim.call_id)
        return True


def _no_room(code: str, detail: str) -> OfferError:
    return OfferError(503, code, detail, retry_after_s=RETRY_AFTER_S)
