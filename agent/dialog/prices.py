"""What tokens cost, as data with a date. Prices are US dollars per million tokens, by direction and modality.

A modality without a price of its own is priced like this:
  * ``THOUGHTS`` and ``TOOL_USE`` are text of their direction: the answer's, the prompt's.
  * All others (``UNKNOWN`` ones, new ones) cost as much as the dearest of their direction: a budget is rather kept
    too early than overrun because the server says too little.
Money is `Decimal`: sums are exact, in whatever order they are added.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from agent.errors import ConfigError

Direction = Literal["prompt", "response"]

MILLION = 1_000_000
THOUGHTS = "THOUGHTS"  # in the response
TOOL_USE = "TOOL_USE"  # in the prompt
_TEXT_LIKE = (THOUGHTS, TOOL_USE)
_FILE_KEYS = ("as_of", "source", "models")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What one model's tokens cost.

    Attributes:
        as_of: the day on which the price was read, ISO 8601.
        source: where.
        prompt: US dollars per million tokens of the context, by modality; TEXT is among them.
        response: the same of the answer.
    """

    as_of: str
    source: str
    prompt: Mapping[str, Decimal]
    response: Mapping[str, Decimal]

    def cost_usd(self, direction: Direction, modality: str, tokens: int) -> Decimal:
        """Return what so many tokens cost, exactly."""
        prices = self.prompt if direction == "prompt" else self.response
        price = prices["TEXT"] if modality in _TEXT_LIKE else prices.get(modality, max(prices.values()))
        return tokens * price / MILLION


Prices = Mapping[str, ModelPrice]
"""By the model's name, without what stands before its last slash."""


def _usd(**prices: str) -> dict[str, Decimal]:
    return {modality: Decimal(price) for modality, price in prices.items()}


_3_X = ModelPrice(
    as_of="2026-10-09",
    source="Google's price list of the Gemini API, paid tier; Vertex AI's list has the same prices",
    prompt=_usd(TEXT="0.75", AUDIO="3.00", IMAGE="1.00", VIDEO="1.00"),
    response=_usd(TEXT="4.50", AUDIO="12.00"),
)
_2_5 = ModelPrice(
    as_of="2026-10-09",
    source="Google's price lists of the Gemini API, paid tier, and of Vertex AI",
    prompt=_usd(TEXT="0.50", AUDIO="3.00", IMAGE="3.00", VIDEO="3.00"),
    response=_usd(TEXT="2.00", AUDIO="12.00"),
)
KNOWN: Prices = {
    "gemini-3.8-live": _3_X,
    "gemini-3.8-live-extended-thinking": _3_X,
    "gemini-3.1-flash-live-preview": _3_X,
    "gemini-2.5-flash-native-audio-preview-12-2025": _2_5,
    "gemini-live-2.5-flash-native-audio": _2_5,
}
"""The prices that this version was made with."""


def price_of(prices: Prices, model: str) -> ModelPrice | None:
    """Look a model up, by its name or its resource name (``models/...``); None if its price is not known."""
    return prices.get(model.rpartition("/")[2])


def parse_prices(text: str, name: str) -> Prices:
    """Read a price file; docs/usage.md describes it.

    Args:
        text: TOML.
        name: what messages call it.

    Raises:
        ConfigError: names the key and what it may hold.
    """
    try:
        told = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError) as error:  # numbers that are too long are among them
        raise ConfigError(f"{name} is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply") from None
    unknown = [key for key in told if key not in _FILE_KEYS]
    models = told.get("models")
    if unknown or not isinstance(models, dict) or not models:
        wrong = f"there is no {unknown[0]}" if unknown else "it names no model"
        raise ConfigError(
            f"{name}: {wrong}; it holds as_of, source and [models.NAME.prompt], [models.NAME.response]"
        )
    as_of, source = str(told.get("as_of", "unknown")), str(told.get("source", name))
    return {
        model: _model_price(prices, f"{name}: models.{model}", as_of, source) for model, prices in models.items()
    }


def _model_price(told: Any, where: str, as_of: str, source: str) -> ModelPrice:
    if not isinstance(told, dict) or set(told) != {"prompt", "response"}:
        raise ConfigError(f"{where} must hold prompt and response, and nothing else")
    prompt, response = (
        _by_modality(told[direction], f"{where}.{direction}") for direction in ("prompt", "response")
    )
    return ModelPrice(as_of, source, prompt, response)


def _by_modality(told: Any, where: str) -> dict[str, Decimal]:
    if not isinstance(told, dict) or "TEXT" not in told:
        raise ConfigError(f"{where} must hold US dollars per million tokens by modality, TEXT among them")
    return {modality: _price(price, f"{where}.{modality}") for modality, price in told.items()}


def _price(told: Any, where: str) -> Decimal:
    number = isinstance(told, int | Decimal) and not isinstance(told, bool) and Decimal(told).is_finite()
    if not number or not 0 <= told < MILLION:
        raise ConfigError(f"{where} must be US dollars per million tokens, such as 0.75")
    return Decimal(told)
