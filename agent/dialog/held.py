"""What the model is to be told, and when that must wait, lest it takes a tool call back. Pure.

Rules:
  1. Text from the client cuts the model's turn, and the server takes back the tool calls that the turn waits for.
     So what is no word of the caller waits while the model waits for a tool; and while a tool runs that it does not
     wait for, until its turn is complete.
  2. A tool's answer is spoken of first: until the turn is complete that does so, or `ANSWER_S` long if none begins.
     A SILENT answer to a model that did not wait for it is not spoken of.
  3. What has waited is told in its order, as soon as the caller does not speak and is owed no answer, and after
     `MAX_HELD_S` all the same; but not while the model waits for a tool. Of what wants a reply one is told at a
     time.
  4. No more than `MAX_HELD` may wait; what is too much is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

ANSWER_S = 5.0
MAYBE_ANSWER_S = 1.5
"How long an answer is waited for if nobody knows whether another turn follows."
MAX_HELD_S = 20.0
MAX_HELD = 64


@dataclass(frozen=True, slots=True)
class State:
    """What goes on in a call.

    Attributes:
        awaits_tool: the model waits for the answer of a tool.
        tool_runs: some tool runs.
        turn_open: the model has begun to speak, and its turn is not complete.
        caller_first: the caller speaks, or is owed an answer.
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
    """What waits in one call."""

    def __init__(self) -> None:
        self.dropped = 0
        "What was too much (rule 4)."
        self._waiting: deque[_Waiting[T]] = deque()
        self._calling = False  # the turn that called a tool is not complete
        self._answer_until: float | None = None  # until then a turn may begin that speaks of an answer
        self._next_turn_s = 0.0  # how long the turn after the open one will be waited for

    @property
    def waiting(self) -> bool:
        """True while anything waits."""
        return bool(self._waiting)

    def must_wait(self, state: State, now: float) -> bool:
        """Say whether something that is to be told now has to be put here instead."""
        turn_open = state.turn_open or self._calling
        return (
            bool(self._waiting)
            or state.awaits_tool
            or (state.tool_runs and turn_open)
            or self._answer_due(now, turn_open=turn_open)
        )

    def put(self, item: T, now: float, *, wants_reply: bool) -> bool:
        """Have something wait; return False if that is too much."""
        if len(self._waiting) >= MAX_HELD:
            self.dropped += 1
            return False
        self._waiting.append(_Waiting(now, item, wants_reply))
        return True

    def take(self, state: State, now: float) -> list[T]:
        """Return what is to be told now."""
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
            silent: it is not to speak of it.
            awaited: it has waited for it; None if nobody knows.
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
        """The turn that was open will not be completed."""
        self._calling = False
        self._answer_until, self._next_turn_s = None, 0.0

    def _answer_due(self, now: float, *, turn_open: bool) -> bool:
        return self._answer_until is not None and (turn_open or now < self._answer_until)
