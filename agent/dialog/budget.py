"""How many tokens a call has used and what they cost. Pure.

Rules:
  1. Every turn is billed in full, including its context; a call's cost is the sum over its turns.
  2. The cost never decreases.
  3. Without a known price for the model there is no cost, but tokens are still counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from agent.dialog.prices import THOUGHTS, TOOL_USE, Direction, ModelPrice


@dataclass(slots=True)
class Spent:
    """The tokens and cost of one call, or of many."""

    tokens: Counter[tuple[Direction, str]] = field(default_factory=Counter)
    "By direction and modality, including ``THOUGHTS`` in the response and ``TOOL_USE`` in the prompt."
    cost_usd: Decimal | None = None
    "None while nothing had a price."

    @property
    def usd(self) -> float | None:
        """The cost as a float, for what is told and stored; amounts are added up without rounding."""
        return None if self.cost_usd is None else float(self.cost_usd)

    def add(self, other: Spent) -> None:
        """Add the tokens and cost of another."""
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
    """Adds up the turns of one call.

    Args:
        price: the model's price; None if it is not known.
        before: what the earlier call that this one continues had used; None for a new call.
    """

    def __init__(self, price: ModelPrice | None, before: Spent | None = None) -> None:
        self.spent = Spent(cost_usd=None if price is None else Decimal(0))
        self._price = price
        self._before = Spent() if before is None else before

    def total(self) -> Spent:
        """Return what this call and the one before it used together, which is what limits and callers see."""
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
        """Add one turn's tokens, keyed by modality; see `agent.live.wire.Usage`."""
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
