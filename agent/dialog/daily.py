"""Daily limits on the cost and the minutes of calls: of all calls together, and of those made with each key. Pure.

Rules:
  1. The day is a rolling one: what was used more than 24 hours ago no longer counts. It is measured in steps of
     `STEP_S`.
  2. A call is charged to the account of all calls and, if it came with a key, to that key's account: money with
     each turn that is billed, time as it passes.
  3. An account is used up as soon as its money or its minutes are. No call can then begin, and running calls that
     are charged to it end as they do at their own limits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from typing import Literal

DAY_S = 86_400.0
STEP_S = 600.0
TOTAL = "total"
"Name of the account of all calls."

DailyLimit = Literal["daily_budget", "daily_minutes"]


class RollingDay:
    """How much of something was used within the last 24 hours."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque()  # number and amount of each step, oldest first
        self._used = 0.0

    def add(self, amount: float, now: float) -> None:
        """Record an amount that was used."""
        number = int(now // STEP_S)
        if self._steps and self._steps[-1][0] == number:
            amount += self._steps.pop()[1]
        self._steps.append((number, amount))
        self._forget(now)
        self._used = sum(amount for _, amount in self._steps)

    def used(self, now: float) -> float:
        """Return the amount used within the last 24 hours."""
        self._forget(now)
        return self._used

    def below_in_s(self, limit: float, now: float) -> float:
        """Return the seconds until the amount is below a limit, if nothing is added; 0 if it already is."""
        if self.used(now) < limit:
            return 0.0
        for index, (number, _) in enumerate(self._steps, start=1):
            # Summed in the same way as `used`: subtraction would give a result that differs in the last digit.
            if sum(amount for _, amount in islice(self._steps, index, None)) < limit:
                return _forgotten_at(number) - now
        return DAY_S

    def _forget(self, now: float) -> None:
        forgotten = False
        while self._steps and _forgotten_at(self._steps[0][0]) <= now:
            self._steps.popleft()
            forgotten = True
        if forgotten:
            self._used = sum(amount for _, amount in self._steps)


def _forgotten_at(number: int) -> float:
    """Return when a step no longer counts: once all of it is a day old."""
    return (number + 1) * STEP_S + DAY_S


class Account:
    """The account of one key, or of all calls.

    Args:
        name: the key's name, or `TOTAL`.
        budget_usd: what may be spent per day; None for no limit.
        minutes: how long its calls together may last per day; None for no limit.
    """

    def __init__(self, name: str, budget_usd: float | None, minutes: float | None) -> None:
        self.name = name
        self.budget_usd = budget_usd
        self.minutes = minutes
        self._usd = RollingDay()
        self._seconds = RollingDay()

    def charge(self, usd: float, seconds: float, now: float) -> None:
        """Record what a call cost and how long it took."""
        if usd:
            self._usd.add(usd, now)
        if seconds:
            self._seconds.add(seconds, now)

    def usd(self, now: float) -> float:
        """Return what was spent within the last 24 hours."""
        return self._usd.used(now)

    def used_minutes(self, now: float) -> float:
        """Return how long its calls lasted within the last 24 hours."""
        return self._seconds.used(now) / 60

    def reached(self, now: float) -> DailyLimit | None:
        """Return the limit that has been reached; None if none has."""
        if self.budget_usd is not None and self.usd(now) >= self.budget_usd:
            return "daily_budget"
        if self.minutes is not None and self.used_minutes(now) >= self.minutes:
            return "daily_minutes"
        return None

    def free_in_s(self, now: float) -> float:
        """Return the seconds until something is left again, if no call runs until then."""
        usd_s = 0.0 if self.budget_usd is None else self._usd.below_in_s(self.budget_usd, now)
        minutes_s = 0.0 if self.minutes is None else self._seconds.below_in_s(self.minutes * 60, now)
        return max(usd_s, minutes_s)


class Purse:
    """The accounts that one call is charged to.

    Args:
        accounts: if there are none, nothing is limited.
    """

    def __init__(self, accounts: Sequence[Account] = ()) -> None:
        self._accounts = accounts

    @property
    def limited(self) -> bool:
        """True if there is any account."""
        return bool(self._accounts)

    def charge(self, now: float, *, usd: float = 0.0, seconds: float = 0.0) -> None:
        """Charge what the call has used since the last charge."""
        for account in self._accounts:
            account.charge(usd, seconds, now)

    def reached(self, now: float) -> DailyLimit | None:
        """Return the limit that has been reached; None if none has."""
        return next((limit for account in self._accounts if (limit := account.reached(now)) is not None), None)

    def free_in_s(self, now: float) -> float:
        """Return the seconds until a call may begin, if none runs until then."""
        return max((account.free_in_s(now) for account in self._accounts), default=0.0)


class Budgets:
    """The accounts of a service.

    Args:
        budget_usd: see `Account`; for all calls.
        minutes: see `Account`; for all calls.
        key_budget_usd: see `Account`; for the calls of each key.
        key_minutes: see `Account`; for the calls of each key.
    """

    def __init__(
        self,
        *,
        budget_usd: float | None = None,
        minutes: float | None = None,
        key_budget_usd: float | None = None,
        key_minutes: float | None = None,
    ) -> None:
        self.refused: Counter[DailyLimit] = Counter()
        "Calls that were refused, by limit."
        self.accounts: dict[str, Account] = {}
        "By name; empty if nothing is limited."
        if budget_usd is not None or minutes is not None:
            self.accounts[TOTAL] = Account(TOTAL, budget_usd, minutes)
        self._of_key = (key_budget_usd, key_minutes)

    def purse(self, key: str | None) -> Purse:
        """Return the accounts that a call is charged to.

        Args:
            key: the name of the operator's key that it came with; None if it came without one.
        """
        if key is not None and self._of_key != (None, None):
            self.accounts.setdefault(key, Account(key, *self._of_key))
        return Purse([account for name, account in self.accounts.items() if name in (TOTAL, key)])
