"""Resumption handles and what they stand for."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from agent.emulator.wire.incoming import History

_MAX_HANDLES = 1_000
_MAX_LINEAGE = 1_000


@dataclass(frozen=True)
class Checkpoint:
    """The state of a session when it issued a handle."""

    history: History
    lineage: tuple[int, ...]
    """The number of the session that issued the handle and of those that it descends from, newest first."""
    tokens: Mapping[str, int]
    """The length of the context, by modality."""


class Handles:
    """The handles of one server; they end with it."""

    def __init__(self) -> None:
        self._checkpoints: OrderedDict[str, Checkpoint] = OrderedDict()

    def issue(self, history: History, lineage: tuple[int, ...], tokens: Mapping[str, int]) -> str:
        """Return a new handle; beyond a thousand the oldest one is forgotten."""
        handle = secrets.token_urlsafe(24)
        self._checkpoints[handle] = Checkpoint(history, lineage[:_MAX_LINEAGE], tokens)
        if len(self._checkpoints) > _MAX_HANDLES:
            self._checkpoints.popitem(last=False)
        return handle

    def find(self, handle: str) -> Checkpoint | None:
        """None for a handle that this server did not issue, or has forgotten."""
        return self._checkpoints.get(handle)
