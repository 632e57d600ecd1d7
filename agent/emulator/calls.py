"""Function calls that the model waits for: each is answered, cancelled or given up exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.emulator.wire import FunctionResult

_MAX_OPEN = 64


class OpenCalls:
    """The calls of one session that have no final answer yet."""

    def __init__(self) -> None:
        self._next = 0
        self._blocking: dict[str, asyncio.Future[FunctionResult]] = {}
        self._background: dict[str, None] = {}

    def open(self, *, background: bool) -> str:
        """A new call's id. Of too many background calls the oldest is forgotten."""
        self._next += 1
        call_id = f"call-{self._next}"
        if background:
            self._background[call_id] = None
            if len(self._background) > _MAX_OPEN:
                del self._background[next(iter(self._background))]
        else:
            self._blocking[call_id] = asyncio.get_running_loop().create_future()
        return call_id

    def answer(self, result: FunctionResult) -> bool:
        """Take an answer.

        Returns:
            True if it belongs to a background call, and the model shall now be told; False if a turn waits for
            it, or nobody does.
        """
        waiting = self._blocking.get(result.id)
        if waiting is not None:
            if not waiting.done() and not result.will_continue:
                waiting.set_result(result)
            return False
        if result.id not in self._background:
            return False
        if not result.will_continue:
            del self._background[result.id]
        return True

    async def wait(self, ids: Sequence[str], timeout_s: float) -> tuple[FunctionResult, ...]:
        """The answers of blocking calls; empty if one of them did not come in time."""
        try:
            async with asyncio.timeout(timeout_s):
                results = tuple([await asyncio.shield(self._blocking[call_id]) for call_id in ids])
        except TimeoutError:
            results = ()
        # cancelled: they stay open, for ``forget`` to name them
        self._close(ids)
        return results

    def forget(self) -> tuple[str, ...]:
        """Give up the blocking calls of an interrupted turn; returns those that had no answer yet."""
        open_calls = tuple(call_id for call_id, answer in self._blocking.items() if not answer.done())
        self._close(tuple(self._blocking))
        return open_calls

    def _close(self, ids: Sequence[str]) -> None:
        for call_id in ids:
            self._blocking.pop(call_id).cancel()
