"""Resumption handles: what each stands for, newest kept."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

_MAX_HANDLES = 1_000
_MAX_LINEAGE = 1_000

History = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ticket:
    """What a handle stands for: the state of its session when it was issued."""

    history: History
    lineage: tuple[int, ...]
    """The numbers of the session that issued it and of those that this one descends from, newest first."""
    tokens: Mapping[str, int]
    """Length of the context, by modality."""


class Handles:
    """The handles of one server; they end with it."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()

    def issue(self, history: History, lineage: tuple[int, ...], tokens: Mapping[str, int]) -> str:
        handle = secrets.token_urlsafe(24)
        self._tickets[handle] = Ticket(history, lineage[:_MAX_LINEAGE], tokens)
        if len(self._tickets) > _MAX_HANDLES:
            self._tickets.popitem(last=False)
        return handle

    def find(self, handle: str) -> Ticket | None:
        """None for a handle that this server did not issue, or forgot."""
        return self._tickets.get(handle)
