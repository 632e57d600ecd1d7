"""What follows when a Live session ends: resume it, build a fresh one, or give up. Pure.

Rules:
  1. The first row of `TABLE` that fits how the session ended says what follows.
  2. A handle that was refused, that failed twice, or whose session died right after it was resumed is poisoned: it
     is never used again, and the next session is a fresh one that is told the history. A server that could not be
     reached has not seen the handle, and a session that proved itself (rule 3) has cleared it.
  3. Attempts are spaced by a jittered back-off that doubles, and limited by a budget, which begins with the loss,
     or with the attempt that failed if there was no session. A session that completed a turn or lasted for a while
     begins a new budget. A session that must be left as soon as it was ready is spaced in the same way, or a server
     that is going down would be stormed. A server that says itself that it is busy is given a moment at once.
  4. A handle is taken when the server offers one; "not resumable now" does not take the last one away: resuming
     with it loses a little, a fresh session loses more. One that comes in the middle of the model's turn is passed
     over by `agent.live.link`: the session that it leads to would never end that turn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Stage = Literal["setup", "running"]

HASTY_S = 0.5  # a session that is left sooner has hardly been one
STABLE_S = 10.0  # a session that lasted so long has earned a new budget
RIGHT_AFTER_S = 2.0  # of resuming: a session that the server ends by then was resumed from a bad handle
MOST_FAILURES = 2  # of one handle
LEAST_CLOSE_CODE = 1000  # of a WebSocket; below it are the HTTP statuses that refuse one
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 4.0
BUSY_DELAY_S = (0.1, 0.5)  # the first; of those behind it the longest is twice as long each time
QUOTA_DELAY_S = 1.0
LONGEST_QUOTA_DELAY_S = 8.0

LEAST_CONTEXT_TOKENS = 100  # of less, nothing can be concluded
FORGOTTEN_SHARE = 0.25  # compression leaves a half by default, and a tenth would be odd

_QUOTA = re.compile(r"quota|resource.?exhausted|rate.?limit|too many|concurrent", re.IGNORECASE)
_NO_SUCH_SESSION = re.compile(
    r"(session|handle).*(not found|expired|invalid|unknown)|(invalid|unknown|expired).*handle",
    re.IGNORECASE,
)


class Step(StrEnum):
    """What to do next."""

    RESUME = "resume"
    "Connect with the newest handle; without one, as `REBUILD`."
    REBUILD = "rebuild"
    "Connect afresh and tell the model what was said."
    WAIT = "wait"
    "As `RESUME`, but only after a longer pause: the server is short of quota."
    GIVE_UP = "give_up"
    "No session will come of it."


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended, or failed to begin.

    Attributes:
        stage: ``setup`` until the server confirmed it, then ``running``.
        code: the WebSocket's close code (1006 if there was no close frame), or the HTTP status; None if there was
            neither.
        reason: the server's words.
        final: the client itself cannot use such settings, whatever the server says.
        resumed: a handle was used, and the session has not proved itself yet.
        age_s: seconds since the server confirmed it.
        handle_failures: how often the handle has failed by now, this time included.
    """

    stage: Stage
    code: int | None
    reason: str = ""
    final: bool = False
    resumed: bool = False
    age_s: float = 0.0
    handle_failures: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the case in words, what it looks like, what follows."""

    case: str
    fits: Callable[[Ending], bool]
    step: Step


def speaks_of_quota(reason: str) -> bool:
    """Tell whether a server's words, whatever the code, mean that it is short of quota."""
    return bool(_QUOTA.search(reason))


def _out_of_quota(end: Ending) -> bool:
    return end.code == 429 or speaks_of_quota(end.reason)


def _busy(end: Ending) -> bool:
    """HTTP 5xx, or "try again later" (the registry of RFC 6455's close codes)."""
    return end.code is not None and (500 <= end.code < 600 or end.code == 1013)


def _died_young(end: Ending) -> bool:
    return end.resumed and end.stage == "running" and end.age_s < RIGHT_AFTER_S and end.code not in (None, 1006)


TABLE = (
    Row("the client cannot use these settings", lambda end: end.final, Step.GIVE_UP),
    Row("the server is short of quota", _out_of_quota, Step.WAIT),
    Row(
        "the key, the model or the address is refused (HTTP 400, 401, 403, 404)",
        lambda end: end.code in (400, 401, 403, 404),
        Step.GIVE_UP,
    ),
    Row(
        "the set-up with a handle is refused (1007, 1008), or the server knows no such session",
        lambda end: (
            end.resumed
            and end.stage == "setup"
            and (end.code in (1007, 1008) or bool(_NO_SUCH_SESSION.search(end.reason)))
        ),
        Step.REBUILD,
    ),
    Row(
        "the set-up without a handle is refused (1007, 1008)",
        lambda end: end.stage == "setup" and end.code in (1007, 1008),
        Step.GIVE_UP,
    ),
    Row("the server ends a session that it has just resumed", _died_young, Step.REBUILD),
    Row(
        "the handle has failed twice",
        lambda end: end.resumed and end.handle_failures >= MOST_FAILURES,
        Step.REBUILD,
    ),
    Row("anything else: 1000, 1001, 1006, 1011 to 1014, HTTP 5xx, no answer", lambda _end: True, Step.RESUME),
)


def next_step(end: Ending) -> Step:
    """Return what follows by the table."""
    return next(row.step for row in TABLE if row.fits(end))


def is_forgotten(before_tokens: int, after_tokens: int) -> bool:
    """Tell by the length of the context whether a session that was resumed has lost it.

    Args:
        before_tokens: of the last turn before the session was replaced.
        after_tokens: of the first one after that.
    """
    return before_tokens >= LEAST_CONTEXT_TOKENS and after_tokens < FORGOTTEN_SHARE * before_tokens


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
        if self._end_session(now) >= HASTY_S:
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

    def lost(
        self,
        stage: Stage,
        code: int | None,
        reason: str,
        now: float,
        *,
        resumed: bool,
        final: bool = False,
        reached: bool = True,
        took_s: float = 0.0,
    ) -> Move:
        """Decide how to go on after a loss.

        The arguments are those of `Ending`, and ``reached``: there was a connection. Without one, or when the
        server refused it or is short of quota, nobody has looked at the handle. ``took_s`` is how long the attempt
        took, of a session that was not confirmed.
        """
        age_s = self._end_session(now)
        resumed = resumed and (stage == "setup" or self._on_trial is not None)  # else it has proved itself
        refused_before = not reached or (code is not None and code < LEAST_CLOSE_CODE) or speaks_of_quota(reason)
        if resumed and not refused_before and (stage == "setup" or self._on_trial == self.handle):
            self._failures += 1
        end = Ending(stage, code, reason, final, resumed, age_s, self._failures)
        step = next_step(end)
        if step is Step.REBUILD:
            self.poison()
        if self._lost_at is None:
            self._lost_at = now - took_s
        delay_s = self._busy_delay_s() if step is Step.RESUME and _busy(end) else self._delay_s(step)
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
            most = min(LONGEST_DELAY_S, most * 2.0 ** min(self._busy - 1, 8))
            least = most / 2
        return self._uniform(least, most)

    def _delay_s(self, step: Step) -> float:
        """The first attempt after a loss comes at once, and so does the first without its handle (rule 3)."""
        first, longest = (FIRST_DELAY_S, LONGEST_DELAY_S)
        if step is Step.WAIT:
            first, longest = QUOTA_DELAY_S, LONGEST_QUOTA_DELAY_S
        elif self._attempts == 0 or step is Step.REBUILD:
            return self._uniform(0, 0.05)
        return min(longest, first * 2.0 ** min(self._attempts, 8)) * self._uniform(0.5, 1.0)
