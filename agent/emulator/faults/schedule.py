"""Which faults of a script happen to which session: one schedule for a server, which counts them."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from agent.emulator.faults.fields import EVERY
from agent.emulator.faults.kinds import Fault
from agent.emulator.record import SessionRecord

logger = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Fault)


class Concerned(Protocol):
    """What a fault may happen to: a session, or a request for generateContent."""

    @property
    def number(self) -> int: ...

    @property
    def handle(self) -> str | None: ...

    def faulted(self, kind: str) -> None: ...


class FaultSchedule:
    """The faults of one server, and how often each has happened.

    Args:
        faults: in the script's order, which is the order in which they act.
        sessions: the server's records, including those of ended sessions.
        rng: decides by the faults' chances.
    """

    def __init__(self, faults: Sequence[Fault], sessions: Iterable[SessionRecord], rng: random.Random) -> None:
        self._faults = faults
        self._happened = [0] * len(faults)
        self._sessions = sessions
        self._rng = rng

    def happening(
        self, record: Concerned, kind: type[_F], holds: Callable[[_F], bool] = lambda fault: True
    ) -> Iterator[_F]:
        """The faults of a kind that happen to a session or a request now; each is counted when it is yielded."""
        for index, fault in enumerate(self._faults):
            if isinstance(fault, kind) and _concerns(fault, record) and holds(fault) and self._count(index):
                self.report(fault, record)
                yield fault

    def again(self, fault: Fault) -> bool:
        """Count a fault that repeats itself once more; False if it may not happen again."""
        return self._count(next(index for index, known in enumerate(self._faults) if known is fault))

    def report(self, fault: Fault, record: Concerned) -> None:
        logger.info(
            "%s %d: fault %s", type(record).__name__.removesuffix("Record").lower(), record.number, fault.kind
        )
        record.faulted(fault.kind)

    def others_open(self, record: SessionRecord) -> list[SessionRecord]:
        return [other for other in self._sessions if other.open and other is not record]

    def _count(self, index: int) -> bool:
        fault = self._faults[index]
        if fault.times is not None and self._happened[index] >= fault.times:
            return False
        if fault.chance < 1 and self._rng.random() >= fault.chance:
            return False
        self._happened[index] += 1
        return True


def _concerns(fault: Fault, record: Concerned) -> bool:
    match fault.session:
        case "every":
            return True
        case "fresh":
            return record.handle is None
        case "resumed":
            return record.handle is not None
        case number:
            return record.number == number


def is_nth(which: int | str, number: int) -> bool:
    """Whether a field like ``turn`` or ``nth`` means this one."""
    return which in (EVERY, number)
