"""The model's function calls: each is answered, cancelled or given up exactly once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum, auto

from agent.emulator.wire.incoming import FunctionResult
from agent.emulator.wire.parse import REFUSED, WireError

_MAX_BACKGROUND = 64
_MAX_CLOSED = 1_024


class Outcome(Enum):
    """What an answer means to the model."""

    AWAITED = auto()
    """A turn is waiting for it."""
    NEWS = auto()
    """It belongs to a background call, so the model must be told."""
    TOO_LATE = auto()
    """The call was cancelled or given up; the client may not have known that."""
    UNKNOWN = auto()
    """This session made no such call."""


class OpenFunctionCalls:
    """The calls of one session that have no final answer yet."""

    def __init__(self) -> None:
        self._next = 0
        self._blocking: dict[str, asyncio.Future[FunctionResult | None]] = {}
        self._background: dict[str, None] = {}
        self._closed: OrderedDict[str, bool] = OrderedDict()  # True if it was answered

    @property
    def open_ids(self) -> tuple[str, ...]:
        """The calls that the client still has to answer."""
        return (*(call_id for call_id, answer in self._blocking.items() if not answer.done()), *self._background)

    @property
    def in_background(self) -> bool:
        return bool(self._background)

    def open(self, *, background: bool) -> str:
        """Return a new call's id. Of too many background calls the oldest one is forgotten."""
        self._next += 1
        call_id = f"call-{self._next}"
        if background:
            self._background[call_id] = None
            if len(self._background) > _MAX_BACKGROUND:
                self._end_background(next(iter(self._background)), answered=False)
        else:
            self._blocking[call_id] = asyncio.get_running_loop().create_future()
        return call_id

    def answer(self, result: FunctionResult) -> Outcome:
        """Take an answer, final or not.

        Raises:
            WireError: the call was answered already.
        """
        waiting = self._blocking.get(result.id)
        if waiting is not None and not waiting.done():
            if not result.will_continue:
                waiting.set_result(result)
            return Outcome.AWAITED
        if result.id in self._background:
            if not result.will_continue:
                self._end_background(result.id, answered=True)
            return Outcome.NEWS
        answered = waiting.result() is not None if waiting is not None else self._closed.get(result.id)
        if answered:
            raise WireError(REFUSED, f"Function call {result.id[:40]} was answered already.")
        return Outcome.UNKNOWN if answered is None else Outcome.TOO_LATE

    async def wait(self, ids: Sequence[str], timeout_s: float) -> tuple[FunctionResult, ...]:
        """The answers to blocking calls; empty if one was cancelled or did not come in time."""
        try:
            async with asyncio.timeout(timeout_s):
                answers = [await asyncio.shield(self._blocking[call_id]) for call_id in ids]
        except TimeoutError:
            answers = [None]
        # if this is cancelled they stay open, and ``forget`` names them
        self._close(ids)
        results = tuple(answer for answer in answers if answer is not None)
        return results if len(results) == len(answers) else ()

    def forget(self) -> tuple[str, ...]:
        """Give up the blocking calls of an interrupted turn; return those that had no answer yet."""
        open_calls = tuple(call_id for call_id, answer in self._blocking.items() if not answer.done())
        self._close(tuple(self._blocking))
        return open_calls

    def cancel(self) -> tuple[str, ...]:
        """Take back all open calls while the turn goes on; return their ids."""
        cancelled = self.open_ids
        for call_id in cancelled:
            if call_id in self._background:
                self._end_background(call_id, answered=False)
            else:
                self._blocking[call_id].set_result(None)
        return cancelled

    def _end_background(self, call_id: str, *, answered: bool) -> None:
        del self._background[call_id]
        self._keep_closed(call_id, answered=answered)

    def _close(self, ids: Sequence[str]) -> None:
        for call_id in ids:
            answer = self._blocking.pop(call_id)
            self._keep_closed(call_id, answered=answer.done() and answer.result() is not None)
            answer.cancel()

    def _keep_closed(self, call_id: str, *, answered: bool) -> None:
        self._closed[call_id] = answered
        if len(self._closed) > _MAX_CLOSED:
            self._closed.popitem(last=False)
