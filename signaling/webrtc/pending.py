"""Calls that are not connected yet, and which of them makes room for another. Pure.

Anybody who may offer can offer and never connect. So these calls are bounded apart from those that are up, and
when they are too many, a new offer takes the place of one that is most likely dead:

- the oldest one of the address that has most of them, if the new offer's address has less: a crowd from one address
  keeps nobody else out;
- else the oldest of that address, if it had time enough to connect: `PATIENCE_S`.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass

PATIENCE_S = 4.0  # a caller who is there connects sooner, unless packets are lost in a row
_IPV6_HOLDER_BITS = 64  # of an address, what one holder has all the rest of


@dataclass(eq=False, slots=True)
class Slot:
    """Room for a call.

    Attributes:
        holder: who asked for it, see `holder_of`; None if it is not bounded: a gateway vouches for the caller.
        since: monotonic seconds.
        call_id: of the call that came of it; None while it is negotiated.
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
        """Take in one that is bounded."""
        if slot.holder is not None:
            self._slots[slot] = None
            self._held[slot.holder] += 1

    def remove(self, slot: Slot) -> None:
        """Forget one; it may have been forgotten before."""
        if slot.holder is not None and slot in self._slots:
            del self._slots[slot]
            self._held[slot.holder] -= 1
            if not self._held[slot.holder]:
                del self._held[slot.holder]

    def next_to_go(self, holder: str | None, now: float) -> Slot | None:
        """Return which slot makes room for one more of a holder; None if none does."""
        if not self._held:
            return None
        heaviest, most = self._held.most_common(1)[0]
        own = 0 if holder is None else self._held.get(holder, 0)
        oldest = next((slot for slot in self._slots if slot.holder == heaviest and slot.call_id is not None), None)
        if oldest is None or not (own + 1 < most or now - oldest.since >= PATIENCE_S):
            return None
        return oldest


def holder_of(address: str | None) -> str:
    """Return who has an address: of IPv6, a network of 64 bits is one holder's (RFC 4291 section 2.5.4)."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, _IPV6_HOLDER_BITS), strict=False))
    return str(ip)
