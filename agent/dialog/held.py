"""Holds back notes to the model that would make the server take back a tool call. Pure.

Rules:
  1. Text from the client cuts the model's turn, and the server takes back the tool calls that the turn waits for.
     Therefore anything but the caller's words is held while the model waits for a tool. While a tool runs that the
     model does not wait for, it is held until the model's turn is complete.
  2. The model first speaks about a tool's answer. Notes are held until the turn in which it does so is complete,
     or for `ANSWER_S` if none begins. A model does not speak about a SILENT answer that it did not wait for.
  3. Held notes are told in order, as soon as the caller is not speaking and is owed no answer, and in any case
     after `MAX_HELD_S`, but never while the model waits for a tool. Those that want a reply are told one at a time.
  4. At most `MAX_HELD` notes are held; further ones are dropped and counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

ANSWER_S = 5.0
MAYBE_ANSWER_S = 1.5
"How long to wait for the model to speak about an answer if it is not known whether another turn follows."
MAX_HELD_S = 20.0
MAX_HELD = 64


@dataclass(frozen=True, slots=True)
class State:
    """The state of a call.

    Attributes:
        awaits_tool: whether the model waits for a tool's answer.
        tool_runs: whether any tool is running.
        turn_open: whether the model has begun to speak and its turn is not complete.
        caller_first: whether the caller is speaking or is owed an answer.
    """

    awaits_tool: bool
    tool_runs: bool
    turn_open: bool
    caller_first: bool


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    since: float
    item: T
    wants_reply: bool


class Held(Generic[T]):
    """The notes that are held in one call."""

    def __init__(self) -> None:
        self.dropped = 0
        "Notes that were dropped because too many were held (rule 4)."
        self._waiting: deque[_Waiting[T]] = deque()
        self._calling = False  # the turn that called a tool is not complete
        self._answer_until: float | None = None  # until then a turn about an answer may begin
        self._next_turn_s = 0.0  # how long to wait for the turn after the open one

    @property
    def waiting(self) -> bool:
        """True while any note is held."""
        return bool(self._waiting)

    def must_wait(self, state: State, now: float) -> bool:
        """Return whether a new note must be held instead of being told now."""
        turn_open = state.turn_open or self._calling
        return (
            bool(self._waiting)
            or state.awaits_tool
            or (state.tool_runs and turn_open)
            or self._answer_due(now, turn_open=turn_open)
        )

    def put(self, item: T, now: float, *, wants_reply: bool) -> bool:
        """Hold a note; return False if it is dropped because too many are held."""
        if len(self._waiting) >= MAX_HELD:
            self.dropped += 1
            return False
        self._waiting.append(_Waiting(now, item, wants_reply))
        return True

    def take(self, state: State, now: float) -> list[T]:
        """Return the notes that are to be told now."""
        if not self._waiting or state.awaits_tool:
            return []
        turn_open = state.turn_open or self._calling
        busy = turn_open or state.caller_first or self._answer_due(now, turn_open=turn_open)
        if busy and now - self._waiting[0].since < MAX_HELD_S:
            return []
        told = []
        while self._waiting:
            waiting = self._waiting.popleft()
            told.append(waiting.item)
            if waiting.wants_reply:
                self._answer_until, self._next_turn_s = now + ANSWER_S, 0.0
                break
        return told

    def tool_called(self) -> None:
        """The model called a tool; its turn is open."""
        self._calling = True

    def tool_answered(self, now: float, *, silent: bool, awaited: bool | None, turn_open: bool) -> None:
        """The model was told a tool's answer.

        Args:
            now: monotonic seconds.
            silent: whether it is asked not to speak about the answer.
            awaited: whether it had waited for the answer; None if that is not known.
            turn_open: see `State`.
        """
        if silent and awaited is False:
            return
        self._answer_until = now + ANSWER_S
        self._next_turn_s = 0.0
        if not awaited and (turn_open or self._calling):
            self._next_turn_s = ANSWER_S if awaited is False else MAYBE_ANSWER_S

    def turn_completed(self, now: float) -> None:
        """The model's turn is complete."""
        self._calling = False
        self._answer_until = now + self._next_turn_s if self._next_turn_s else None
        self._next_turn_s = 0.0

    def session_ended(self) -> None:
        """The open turn will never be completed."""
        self._calling = False
        self._answer_until, self._next_turn_s = None, 0.0

    def _answer_due(self, now: float, *, turn_open: bool) -> bool:
        return self._answer_until is not None and (turn_open or now < self._answer_until)
