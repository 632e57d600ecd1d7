"""What calls may come to within a day, in money and in minutes: all together, and those of each key. Pure.

Rules:
  1. A day is rolling: what was used more than 24 hours ago counts no more. It is reckoned in steps of `STEP_S`.
  2. A call is charged to the account of all and to that of its key, if it came with one: money with each turn that
     is billed, time as it passes.
  3. An account is used up once its money or its minutes are. No call begins then, and those that are charged to it
     end as they do at their own limits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from typing import Literal

DAY_S = 86_400.0
STEP_S = 600.0
TOTAL = "total"  # the account of all calls

DailyLimit = Literal["daily_budget", "daily_minutes"]


class RollingDay:
    """How much of something was used within the last 24 hours."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque()  # number and amount, oldest first
        self._used = 0.0

    def add(self, amount: float, now: float) -> None:
        """Take note of what was used."""
        number = int(now // STEP_S)
        if self._steps and self._steps[-1][0] == number:
            amount += self._steps.pop()[1]
        self._steps.append((number, amount))
        self._forget(now)
        self._used = sum(amount for _, amount in self._steps)

    def used(self, now: float) -> float:
        """Return how much it is."""
        self._forget(now)
        return self._used

    def below_in_s(self, limit: float, now: float) -> float:
        """Return in how many seconds it will be less than a limit, if nothing is added; 0 if it is."""
        if self.used(now) < limit:
            return 0.0
        for index, (number, _) in enumerate(self._steps, start=1):
            # The sum is built as `used` builds it: by subtraction it would differ in the last place.
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
    """Return when a step counts no more: once all of it is a day old."""
    return (number + 1) * STEP_S + DAY_S


class Account:
    """What is charged to one key, or to all calls.

    Args:
        name: a key's, or `TOTAL`.
        budget_usd: what may be spent a day; None if there is no limit.
        minutes: how long its calls may last a day, together; None if there is no limit.
    """

    def __init__(self, name: str, budget_usd: float | None, minutes: float | None) -> None:
        self.name = name
        self.budget_usd = budget_usd
        self.minutes = minutes
        self._usd = RollingDay()
        self._seconds = RollingDay()

    def charge(self, usd: float, seconds: float, now: float) -> None:
        """Take note of what a call came to."""
        if usd:
            self._usd.add(usd, now)
        if seconds:
            self._seconds.add(seconds, now)

    def usd(self, now: float) -> float:
        """Return what was spent within a day."""
        return self._usd.used(now)

    def used_minutes(self, now: float) -> float:
        """Return how long its calls lasted within a day."""
        return self._seconds.used(now) / 60

    def reached(self, now: float) -> DailyLimit | None:
        """Return which limit is used up; None if none is."""
        if self.budget_usd is not None and self.usd(now) >= self.budget_usd:
            return "daily_budget"
        if self.minutes is not None and self.used_minutes(now) >= self.minutes:
            return "daily_minutes"
        return None

    def free_in_s(self, now: float) -> float:
        """Return in how many seconds there will be something left again, if no call runs meanwhile."""
        usd_s = 0.0 if self.budget_usd is None else self._usd.below_in_s(self.budget_usd, now)
        minutes_s = 0.0 if self.minutes is None else self._seconds.below_in_s(self.minutes * 60, now)
        return max(usd_s, minutes_s)


class Purse:
    """The accounts that one call is charged to.

    Args:
        accounts: without any, nothing is limited.
    """

    def __init__(self, accounts: Sequence[Account] = ()) -> None:
        self._accounts = accounts

    @property
    def limited(self) -> bool:
        """True if anything is kept account of."""
        return bool(self._accounts)

    def charge(self, now: float, *, usd: float = 0.0, seconds: float = 0.0) -> None:
        """Charge what the call has come to since the last time."""
        for account in self._accounts:
            account.charge(usd, seconds, now)

    def reached(self, now: float) -> DailyLimit | None:
        """Return which limit is used up; None if none is."""
        return next((limit for account in self._accounts if (limit := account.reached(now)) is not None), None)

    def free_in_s(self, now: float) -> float:
        """Return in how many seconds a call may begin, if none runs meanwhile."""
        return max((account.free_in_s(now) for account in self._accounts), default=0.0)


class Budgets:
    """The accounts of a service.

    Args:
        budget_usd: see `Account`; of all calls.
        minutes: see `Account`; of all calls.
        key_budget_usd: see `Account`; of the calls of each key.
        key_minutes: see `Account`; of the calls of each key.
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
        "Calls that did not begin."
        self.accounts: dict[str, Account] = {}
        "By name; none where nothing is limited."
        if budget_usd is not None or minutes is not None:
            self.accounts[TOTAL] = Account(TOTAL, budget_usd, minutes)
        self._of_key = (key_budget_usd, key_minutes)

    def purse(self, key: str | None) -> Purse:
        """Return what a call is charged to.

        Args:
            key: names the key that it came with, one of the operator's; None if it came without.
        """
        if key is not None and self._of_key != (None, None):
            self.accounts.setdefault(key, Account(key, *self._of_key))
        return Purse([account for name, account in self.accounts.items() if name in (TOTAL, key)])
