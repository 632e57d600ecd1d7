"""Decides when the service ends a call: its budget is spent, it is idle, or it has lasted too long. Pure.

Rules:
  1. At 80 % of a limit there is one warning; the idle limit warns again after each sign of life.
  2. Once a limit is reached, the call waits at most 10 s for the sentence that is being said, for an answer that is
     owed, and for tools and what the agent says about their answers.
  3. Then the model is told to say goodbye, and the call ends once that has been heard (`agent.dialog.goodbye`).
  4. The first limit that is reached decides: from then on no other limit counts, and the end is not revoked.
  5. The daily limits (`agent.dialog.daily`) apply to every running call charged to them, without a warning.
  6. A call is idle while nobody speaks or types and no tool runs. A limit of 0 or None means no limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from agent import events
from agent.dialog.asides import goodbye_request

NEAR_SHARE = 0.8
QUIET_WAIT_S = 10.0

_REASONS: dict[events.LimitKind, tuple[str, str]] = {
    "budget": ("budget_spent", "The call's budget is spent."),
    "idle": ("idle", "Nobody spoke for too long."),
    "max_duration": ("max_duration", "The call has lasted as long as it may."),
    "daily_budget": ("daily_budget_spent", "What calls may cost in a day is spent."),
    "daily_minutes": ("daily_minutes_used", "Calls have lasted as long as they may in a day."),
}


@dataclass(frozen=True, slots=True)
class SayGoodbye:
    """Tell the model to say goodbye, and end the call once that has been heard.

    Attributes:
        note: the text to tell the model.
        reason: the reason for the call's end, see `events.CallEnded`.
        detail: the same in one sentence for people.
    """

    note: str
    reason: str
    detail: str


Step = events.LimitNear | SayGoodbye
"""What to do now; an `events.LimitNear` is told to the observers."""


class Limits:
    """Watches the limits of one call.

    Args:
        budget_usd: how much the call may cost.
        idle_timeout_s: how long it may be idle.
        max_duration_s: how long it may last.
        now: when it began, in monotonic seconds.
        reached: returns the daily limit that is reached at a given time, if any (rule 5).
        check_interval_s: how often to call ``reached``.
    """

    def __init__(
        self,
        *,
        budget_usd: float | None,
        idle_timeout_s: float,
        max_duration_s: float,
        now: float,
        reached: Callable[[float], events.LimitKind | None] = lambda _now: None,
        check_interval_s: float = math.inf,
    ) -> None:
        self._shared_reached = reached
        self._check_interval_s = check_interval_s
        self._budget_usd = budget_usd
        self._idle_timeout_s = idle_timeout_s
        self._max_duration_s = max_duration_s
        self._began = now
        self._active_at = now
        self._cost_usd = 0.0
        self._near: set[events.LimitKind] = set()  # limits that were warned about
        self._reached: events.LimitKind | None = None
        self._deadline = math.inf  # when waiting for quiet ends (rule 2)
        self._done = False  # the model was asked to say goodbye
        self._caller_speaks = False
        self._agent_speaks = False
        self._open_tools: set[str] = set()
        self._generating = False
        self._owed = False  # the caller said something that has not been answered yet
        self._tool_ended = False  # a tool has ended, and the agent has not spoken about it yet

    @property
    def closing(self) -> bool:
        """True once a limit is reached; from then on any event may be the one that is waited for."""
        return self._reached is not None

    def spent(self, cost_usd: Decimal | None) -> None:
        """Take note of what the call has cost so far; None if that is not known."""
        self._cost_usd = float(cost_usd or 0)

    def note(self, event: events.Event, now: float) -> None:
        """Take note of an event."""
        match event:
            case events.CallerStartedSpeaking():
                self._caller_speaks = True
            case events.CallerStoppedSpeaking():
                self._caller_speaks, self._owed = False, True
            case events.CallerTranscribed():
                self._owed = self._owed or event.typed
            case events.AgentStartedSpeaking() | events.AgentStoppedSpeaking():
                self._agent_speaks = isinstance(event, events.AgentStartedSpeaking)
            case events.ToolCalled(call_id=call_id):
                self._open_tools.add(call_id)
            case events.ToolFinished(call_id=call_id, outcome=outcome):
                self._open_tools.discard(call_id)
                self._tool_ended = self._tool_ended or outcome != "cancelled"
            case events.GenerationStarted():
                self._generating, self._owed, self._tool_ended = True, False, False
            case events.TurnCompleted() | events.AgentInterrupted():
                self._generating = self._tool_ended = False
            case events.GenerationCompleted() | events.AgentReady():
                pass  # a sign of life, like the cases above
            case _:
                return
        self._active_at = now
        self._near.discard("idle")

    def steps(self, now: float) -> Iterator[Step]:
        """Yield what to do now, in order."""
        if self._reached is None:
            yield from self._look(now)
        if self._reached is not None and not self._done and (self._quiet() or now >= self._deadline):
            self._done = True
            yield SayGoodbye(goodbye_request(self._reached), *_REASONS[self._reached])

    def next_check_s(self, now: float) -> float:
        """Return the seconds until the next possible step, unless `note` or `spent` is called before."""
        if self._done:
            return self._check_interval_s
        if self._reached is not None:
            return max(0.0, self._deadline - now)
        waits = [
            (limit * (1.0 if kind in self._near else NEAR_SHARE)) - used
            for kind, used, limit in self._used(now)
            if kind != "budget"
        ]
        return min(self._check_interval_s, max(0.0, min(waits, default=math.inf)))

    def _look(self, now: float) -> Iterator[events.LimitNear]:
        for kind, used, limit in self._used(now):
            if used >= NEAR_SHARE * limit and kind not in self._near:
                self._near.add(kind)
                yield events.LimitNear(kind, used, limit)
            if used >= limit:
                self._reach(kind, now)
                return
        shared = self._shared_reached(now)
        if shared is not None:
            self._reach(shared, now)

    def _reach(self, kind: events.LimitKind, now: float) -> None:
        self._reached = kind
        self._deadline = now + QUIET_WAIT_S

    def _used(self, now: float) -> Iterator[tuple[events.LimitKind, float, float]]:
        """Yield each limit that is set: its kind, how much of it is used, and its value."""
        if self._budget_usd:
            yield "budget", self._cost_usd, self._budget_usd
        if self._max_duration_s:
            yield "max_duration", now - self._began, self._max_duration_s
        if self._idle_timeout_s:
            busy = self._caller_speaks or self._agent_speaks or self._open_tools
            yield "idle", 0.0 if busy else now - self._active_at, self._idle_timeout_s

    def _quiet(self) -> bool:
        speaks = self._caller_speaks or self._generating or self._agent_speaks
        return not (speaks or self._owed or self._tool_ended or self._open_tools)
