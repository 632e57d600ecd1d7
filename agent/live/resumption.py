"""Which handle a call's next Live session is resumed from, and how long to wait before it. Pure.

Rules:
  1. `agent.live.endings.TABLE` says what follows when a session ends.
  2. A handle that was refused, that failed twice, or whose session the server ended right after it was resumed is
     bad: it is never used again, and the next session is a fresh one that is told the history. A server that could
     not be reached has not seen the handle, and a session that proved itself (rule 3) has cleared it.
  3. Attempts are spaced by a jittered back-off that doubles, and limited by a budget, which begins with the loss,
     or with the attempt that failed if there was no session. A session that completed a turn or lasted for a while
     begins a new budget. A session that must be left as soon as it was ready is spaced in the same way, or a server
     that is going down would be stormed. A server that says itself that it is busy is given a moment at once.
  4. A handle is taken when the server offers one; "not resumable now" does not take the last one away: resuming
     with it loses a little, a fresh session loses more. A handle that comes in the middle of the model's turn is
     passed over by `agent.live.link`: the session that it leads to would never end that turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from agent.live.endings import Blame, Ending, Step, row_of

TOO_SHORT_S = 0.5  # a session that is left sooner has hardly been one
STABLE_S = 10.0  # a session that lasted this long begins a new budget
RIGHT_AFTER_S = 2.0  # after resuming: a session that the server ends by then was resumed from a bad handle
MAX_FAILURES = 2  # of one handle
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 4.0
BUSY_DELAY_S = (0.1, 0.5)  # the first pause; of the later ones the longest is twice as long each time
QUOTA_DELAY_S = 1.0
MAX_QUOTA_DELAY_S = 8.0

MIN_CONTEXT_TOKENS = 100  # a shorter context proves nothing
FORGOTTEN_SHARE = 0.25  # compression leaves a half by default, and a tenth would be odd


@dataclass(frozen=True, slots=True)
class Trial:
    """A handle whose session has not proved itself.

    Attributes:
        age_s: seconds from the server's confirmation until the session ended; 0 if there was none.
        failures: how often the handle has failed by now, this time included.
    """

    age_s: float = 0.0
    failures: int = 0


def next_step(ending: Ending, trial: Trial | None) -> Step:
    """Return what follows.

    Args:
        ending: how the session ended.
        trial: the handle that it was resumed from; None if there was none, or if it has proved itself.
    """
    row = row_of(ending)
    return Step.REBUILD if trial is not None and _is_to_blame(row.blame, ending, trial) else row.step


def _is_to_blame(blame: Blame, ending: Ending, trial: Trial) -> bool:
    """Tell whether a handle is bad by rule 2."""
    at_once = not ending.during_setup and trial.age_s < RIGHT_AFTER_S
    return (
        Blame.ALWAYS in blame
        or (Blame.IF_AT_ONCE in blame and at_once)
        or (Blame.IF_AGAIN in blame and trial.failures >= MAX_FAILURES)
    )


def is_forgotten(before_tokens: int, after_tokens: int) -> bool:
    """Tell by the length of the context whether a session that was resumed has lost it.

    Args:
        before_tokens: of the last turn before the session was replaced.
        after_tokens: of the first one after that.
    """
    return before_tokens >= MIN_CONTEXT_TOKENS and after_tokens < FORGOTTEN_SHARE * before_tokens


@dataclass(frozen=True, slots=True)
class Move:
    """What to do, and after how many seconds."""

    step: Step
    delay_s: float = 0.0


class Recovery:
    """The handle of a call's Live session, and how to go on when the session ends.

    Args:
        budget_s: seconds from the first loss within which a session must be running again.
        uniform: returns a random number between two; for the jitter.
    """

    def __init__(self, budget_s: float, uniform: Callable[[float, float], float]) -> None:
        self.handle: str | None = None
        "What the next session is resumed from; None if it must be a fresh one."
        self._budget_s = budget_s
        self._uniform = uniform
        self._failures = 0  # of the handle
        self._attempts = 0
        self._busy = 0  # attempts that the server was too busy for
        self._lost_at: float | None = None
        self._ready_at: float | None = None
        self._on_trial: str | None = None  # what the session was resumed from, until it has proved itself
        self._poisoned: set[str] = set()

    def left_s(self, now: float) -> float:
        """Return how long the next attempt may take: what is left of the budget, if one runs."""
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
        """Note that the session was left for the next one on purpose; return the seconds to wait before that."""
        if self._end_session(now) >= TOO_SHORT_S:
            return 0.0
        delay_s = self._delay_s(Step.RESUME)
        self._attempts += 1
        return delay_s

    def poison(self) -> None:
        """Never use the handle again, nor the one that its session was resumed from (rule 2)."""
        self._poisoned |= {handle for handle in (self.handle, self._on_trial) if handle is not None}
        self.handle = None
        self._on_trial = None
        self._failures = 0

    def lost(self, ending: Ending, now: float, *, resumed: bool, took_s: float = 0.0) -> Move:
        """Decide how to go on after a loss.

        Args:
            ending: how the session ended.
            now: monotonic seconds.
            resumed: a handle was used.
            took_s: how long the attempt took, if the session was not confirmed.
        """
        age_s = self._end_session(now)
        row = row_of(ending)
        trial = None
        if resumed and (ending.during_setup or self._on_trial is not None):  # else it has proved itself
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
        """The first attempt after a loss comes at once, and so does the first without its handle (rule 3)."""
        first, longest = (FIRST_DELAY_S, MAX_DELAY_S)
        if step is Step.WAIT:
            first, longest = QUOTA_DELAY_S, MAX_QUOTA_DELAY_S
        elif self._attempts == 0 or step is Step.REBUILD:
            return self._uniform(0, 0.05)
        return min(longest, first * 2.0 ** min(self._attempts, 8)) * self._uniform(0.5, 1.0)
