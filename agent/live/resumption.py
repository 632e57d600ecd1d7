"""Decides which handle a call's next Live session is resumed from, and how long to wait before it. Pure.

Rules:
  1. `agent.live.endings.TABLE` says what follows when a session ends.
  2. A handle that was refused, that failed twice, or whose session the server ended right after it was resumed is
     bad: it is never used again, and the next session is a fresh one that is told the history. A handle is not
     blamed if the server could not be reached, because it has not seen the handle, nor if the session has proved
     itself (rule 3).
  3. Attempts are spaced by a jittered back-off that doubles, and limited by a time budget. The budget starts with
     the loss, or with the failed attempt if there was no session. A session that completed a turn or lasted for a
     while starts a new budget. A session that must be left as soon as it is ready is followed by the same back-off,
     so as not to flood a server that is shutting down. If the server says that it is busy, even the first attempt
     waits a moment.
  4. Each handle that the server offers replaces the one before. "Not resumable now" does not discard the last one:
     resuming from it loses a little, while a fresh session loses more. `agent.live.link` ignores handles that come
     in the middle of the model's turn, because a session resumed from one would never end that turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from agent.live.endings import Blame, Ending, Step, row_of

TOO_SHORT_S = 0.5  # a session that is left sooner is followed by the back-off
STABLE_S = 10.0  # a session that lasted this long starts a new budget
RIGHT_AFTER_S = 2.0  # if the server ends a session within this time after it was resumed, its handle is bad
MAX_FAILURES = 2  # per handle
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 4.0
BUSY_DELAY_S = (0.1, 0.5)  # bounds of the first pause; the upper one doubles with each further pause
QUOTA_DELAY_S = 1.0
MAX_QUOTA_DELAY_S = 8.0

MIN_CONTEXT_TOKENS = 100  # a shorter context proves nothing
FORGOTTEN_SHARE = 0.25  # compression leaves half of the context by default; a setting of a tenth would be unusual


@dataclass(frozen=True, slots=True)
class Trial:
    """A handle whose session has not proved itself yet.

    Attributes:
        age_s: seconds from the server's confirmation until the session ended; 0 if there was none.
        failures: how often the handle has failed so far, including this time.
    """

    age_s: float = 0.0
    failures: int = 0


def next_step(ending: Ending, trial: Trial | None) -> Step:
    """Return what to do next.

    Args:
        ending: how the session ended.
        trial: the handle that it was resumed from; None if there was none, or if it has proved itself.
    """
    row = row_of(ending)
    return Step.REBUILD if trial is not None and _is_to_blame(row.blame, ending, trial) else row.step


def _is_to_blame(blame: Blame, ending: Ending, trial: Trial) -> bool:
    """Return whether a handle is bad (rule 2)."""
    at_once = not ending.during_setup and trial.age_s < RIGHT_AFTER_S
    return (
        Blame.ALWAYS in blame
        or (Blame.IF_AT_ONCE in blame and at_once)
        or (Blame.IF_AGAIN in blame and trial.failures >= MAX_FAILURES)
    )


def is_forgotten(before_tokens: int, after_tokens: int) -> bool:
    """Return whether a resumed session has lost its context, judging by the context's length.

    Args:
        before_tokens: the length at the last turn before the session was replaced.
        after_tokens: the length at the first turn after that.
    """
    return before_tokens >= MIN_CONTEXT_TOKENS and after_tokens < FORGOTTEN_SHARE * before_tokens


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next, and after how many seconds."""

    step: Step
    delay_s: float = 0.0


class Recovery:
    """Keeps the handle of a call's Live session, and decides how to continue when the session ends.

    Args:
        budget_s: seconds from the first loss within which a session must be running again.
        uniform: returns a random number between two bounds, for the jitter.
    """

    def __init__(self, budget_s: float, uniform: Callable[[float, float], float]) -> None:
        self.handle: str | None = None
        "The handle that the next session is resumed from; None if it must be a fresh one."
        self._budget_s = budget_s
        self._uniform = uniform
        self._failures = 0  # how often the handle has failed
        self._attempts = 0
        self._busy = 0  # attempts that the server refused because it was busy
        self._lost_at: float | None = None
        self._ready_at: float | None = None
        self._on_trial: str | None = None  # the handle resumed from, until its session has proved itself
        self._poisoned: set[str] = set()

    def left_s(self, now: float) -> float:
        """Return how long the next attempt may take: the rest of the budget, if one has started."""
        return math.inf if self._lost_at is None else max(0.0, self._lost_at + self._budget_s - now)

    def offered(self, handle: str | None) -> None:
        """Note the handle that the server offers; None if the session cannot be resumed at this moment (rule 4)."""
        if handle and handle not in self._poisoned:
            self.handle = handle
            self._failures = 0

    def ready(self, now: float, *, resumed: bool) -> None:
        """Note that the server confirmed a session."""
        self._ready_at = now
        self._on_trial = self.handle if resumed else None

    def progressed(self) -> None:
        """Note that a turn was completed: the session works (rule 3)."""
        self._lost_at = None
        self._attempts = self._busy = 0
        self._failures = 0
        self._on_trial = None

    def left(self, now: float) -> float:
        """Note that the session was left on purpose; return the seconds to wait before the next one."""
        if self._end_session(now) >= TOO_SHORT_S:
            return 0.0
        delay_s = self._delay_s(Step.RESUME)
        self._attempts += 1
        return delay_s

    def poison(self) -> None:
        """Never use the handle again, nor the one that the session was resumed from (rule 2)."""
        self._poisoned |= {handle for handle in (self.handle, self._on_trial) if handle is not None}
        self.handle = None
        self._on_trial = None
        self._failures = 0

    def lost(self, ending: Ending, now: float, *, resumed: bool, took_s: float = 0.0) -> Move:
        """Decide how to continue after a loss.

        Args:
            ending: how the session ended.
            now: monotonic seconds.
            resumed: whether a handle was used.
            took_s: how long the attempt took, if the session was not confirmed.
        """
        age_s = self._end_session(now)
        row = row_of(ending)
        trial = None
        if resumed and (ending.during_setup or self._on_trial is not None):  # otherwise the handle is cleared
            if Blame.IF_AGAIN in row.blame and (ending.during_setup or self._on_trial == self.handle):
                self._failures += 1
            trial = Trial(age_s, self._failures)
        step = next_step(ending, trial)
        if step is Step.REBUILD:
            self.poison()
        if self._lost_at is None:
            self._lost_at = now - took_s
        delay_s = self._busy_delay_s() if row.busy and step is Step.RESUME else self._delay_s(step)
        if step is Step.GIVE_UP or now + delay_s - self._lost_at >= self._budget_s:
            return Move(Step.GIVE_UP)
        self._attempts += 1
        return Move(step, delay_s)

    def _end_session(self, now: float) -> float:
        """Return how long the session lasted; 0 if it never began."""
        age_s = 0.0 if self._ready_at is None else now - self._ready_at
        self._ready_at = None
        if age_s >= STABLE_S:
            self.progressed()
        return age_s

    def _busy_delay_s(self) -> float:
        self._busy += 1
        least, most = BUSY_DELAY_S
        if self._busy > 1:
            most = min(MAX_DELAY_S, most * 2.0 ** min(self._busy - 1, 8))
            least = most / 2
        return self._uniform(least, most)

    def _delay_s(self, step: Step) -> float:
        """Return the pause before an attempt; the first one, and the first without the handle, come at once."""
        first, longest = (FIRST_DELAY_S, MAX_DELAY_S)
        if step is Step.WAIT:
            first, longest = QUOTA_DELAY_S, MAX_QUOTA_DELAY_S
        elif self._attempts == 0 or step is Step.REBUILD:
            return self._uniform(0, 0.05)
        return min(longest, first * 2.0 ** min(self._attempts, 8)) * self._uniform(0.5, 1.0)
