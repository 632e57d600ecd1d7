"""Resumption handles: what each stands for, newest kept."""

from __future__ import annotations

import secrets
from collections import OrderedDict

_MAX_HANDLES = 1_000

History = tuple[tuple[str, str], ...]


class Handles:
    """The handles of one server; they end with it."""

    def __init__(self) -> None:
        self._histories: OrderedDict[str, History] = OrderedDict()

    def issue(self, history: History) -> str:
        handle = secrets.token_urlsafe(24)
        self._histories[handle] = history
        if len(self._histories) > _MAX_HANDLES:
            self._histories.popitem(last=False)
        return handle

    def history(self, handle: str) -> History | None:
        """What was said until the handle was issued; None for a handle that this server did not issue."""
        return self._histories.get(handle)
