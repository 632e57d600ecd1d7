"""Calls that are not connected yet, and which of them makes room for another one. Pure.

Anyone who may send offers can send many and never connect. So unconnected calls have a limit of their own, and once
it is reached, a new offer takes the place of the call that is most likely dead:

- the oldest call of the address that has most of them, if the new offer's address has at least two fewer: a crowd
  from one address keeps nobody else out;
- else the oldest call of that address, if it has had enough time to connect: `MIN_PATIENCE_S`.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass

MIN_PATIENCE_S = 4.0  # a caller who is there connects sooner, unless several packets in a row get lost
_IPV6_HOLDER_BITS = 64  # the prefix that is assigned to one holder


@dataclass(eq=False, slots=True)
class Slot:
    """Room for a call.

    Attributes:
        holder: who asked for it, see `holder_of`; None if the limit does not apply because a gateway vouches for
            the caller.
        since: when the slot was taken, in monotonic seconds.
        call_id: the call that it became; None while it is negotiated.
    """

    holder: str | None
    since: float
    call_id: str | None = None


class Pending:
    """The slots of calls that are not connected yet."""

    def __init__(self) -> None:
        self._slots: dict[Slot, None] = {}  # oldest first
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, slot: Slot) -> None:
        """Add a slot, unless the limit does not apply to it."""
        if slot.holder is not None:
            self._slots[slot] = None
            self._held[slot.holder] += 1

    def remove(self, slot: Slot) -> None:
        """Remove a slot, if it is there."""
        if slot.holder is not None and slot in self._slots:
            del self._slots[slot]
            self._held[slot.holder] -= 1
            if not self._held[slot.holder]:
                del self._held[slot.holder]

    def next_to_go(self, holder: str | None, now: float) -> Slot | None:
        """Return the slot that has to make room for a new one of this holder; None if no slot does."""
        if not self._held:
            return None
        heaviest, most = self._held.most_common(1)[0]
        own = 0 if holder is None else self._held.get(holder, 0)
        oldest = next((slot for slot in self._slots if slot.holder == heaviest and slot.call_id is not None), None)
        if oldest is None or not (own + 1 < most or now - oldest.since >= MIN_PATIENCE_S):
            return None
        return oldest


def holder_of(address: str | None) -> str:
    """Return who holds an address; for IPv6 that is its network of 64 bits (RFC 4291 section 2.5.4)."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, _IPV6_HOLDER_BITS), strict=False))
    return str(ip)
