"""Go through the whole history, call by call, with no more than a page of it in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from signaling.history.history import History
from signaling.history.read import EVERY, Filters

PAGE = 100  # calls, or turns with the words, that are looked up at a time


async def exported(
    history: History, words: str | None = None, filters: Filters = EVERY
) -> AsyncIterator[dict[str, Any]]:
    """Yield everything kept about each call, newest first, as `signaling.history.read.one` returns it.

    Calls that are added meanwhile are left out, and so are calls that are erased before their turn.

    Args:
        history: holds the calls.
        words: only calls in which these were said, all in one turn; see `signaling.history.search`.
        filters: which calls are wanted.
    """
    ids = _ids(history, filters) if words is None else _ids_with(history, words, filters)
    async for call_id in ids:
        call = await history.one(call_id)
        if call is not None:
            yield call


async def _ids(history: History, filters: Filters) -> AsyncIterator[str]:
    before = None
    while calls := await history.page(before, filters, PAGE):
        for call in calls:
            yield call["id"]
        before = calls[-1]["started_ms"], calls[-1]["id"]


async def _ids_with(history: History, words: str, filters: Filters) -> AsyncIterator[str]:
    before, moment, seen = None, None, set[str]()
    while True:
        found = await history.search(words, before, filters, PAGE)
        for hit in found.hits:
            call = hit["call"]
            if call["started_ms"] != moment:  # turns come in the order in which their calls began
                moment, seen = call["started_ms"], set()
            if call["id"] not in seen:
                seen.add(call["id"])
                yield call["id"]
        before = found.before
        if before is None:
            return
