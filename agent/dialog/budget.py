"""What a call has used and what that costs. Pure.

Rules:
  1. Every turn is billed in full, its context too; a call's cost is the sum over its turns.
  2. It never shrinks.
  3. A model without a known price has no cost; its tokens are counted all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from agent.dialog.prices import THOUGHTS, TOOL_USE, Direction, ModelPrice


@dataclass(slots=True)
class Spent:
    """What one call, or many, came to."""

    tokens: Counter[tuple[Direction, str]] = field(default_factory=Counter)
    "By direction and modality, ``THOUGHTS`` of the response and ``TOOL_USE`` of the prompt among the latter."
    cost_usd: Decimal | None = None
    "None while nothing had a price."

    def add(self, other: Spent) -> None:
        """Add another's to this."""
        self.tokens.update(other.tokens)
        if other.cost_usd is not None:
            self.cost_usd = (self.cost_usd or Decimal(0)) + other.cost_usd

    def by_direction(self) -> dict[str, dict[str, int]]:
        """Return the tokens as ``{"prompt": {"AUDIO": 12}, "response": {}}``."""
        told: dict[str, dict[str, int]] = {"prompt": {}, "response": {}}
        for (direction, modality), tokens in sorted(self.tokens.items()):
            told[direction][modality] = tokens
        return told


class Meter:
    """Add up the turns of one call.

    Args:
        price: its model's price; None if it is not known.
        before: what an earlier call had used that this one goes on from.
    """

    def __init__(self, price: ModelPrice | None, before: Spent | None = None) -> None:
        self.spent = Spent(cost_usd=None if price is None else Decimal(0))
        self._price = price
        self._before = Spent() if before is None else before

    def total(self) -> Spent:
        """Return what both calls have used: what limits and callers count."""
        total = Spent()
        total.add(self._before)
        total.add(self.spent)
        return total

    def bill(
        self,
        prompt: Mapping[str, int],
        response: Mapping[str, int],
        *,
        thoughts_tokens: int = 0,
        tool_use_tokens: int = 0,
    ) -> None:
        """Add one turn's tokens, by modality; see `agent.live.wire.Usage`."""
        turn: Counter[tuple[Direction, str]] = Counter()
        for modality, tokens in prompt.items():
            turn["prompt", modality] += tokens
        for modality, tokens in response.items():
            turn["response", modality] += tokens
        turn["response", THOUGHTS] += thoughts_tokens
        turn["prompt", TOOL_USE] += tool_use_tokens
        turn = +turn
        self.spent.add(Spent(turn, self._cost_usd(turn)))

    def _cost_usd(self, tokens: Mapping[tuple[Direction, str], int]) -> Decimal | None:
        if self._price is None:
            return None
        costs = (self._price.cost_usd(*kind, count) for kind, count in tokens.items())
        return sum(costs, start=Decimal(0))
