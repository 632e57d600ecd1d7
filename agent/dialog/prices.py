"""What tokens cost, as dated data. Prices are in US dollars per million tokens, by direction and modality.

A modality without a price of its own is priced like this:
  * ``THOUGHTS`` cost as much as the response's text, ``TOOL_USE`` as much as the prompt's text.
  * All others (``UNKNOWN`` ones, new ones) cost as much as the most expensive modality of their direction: it is
    better to end a call early than to overrun a budget because the server says too little.
Money is `Decimal`, so that sums are exact in whatever order they are added.
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
THOUGHTS = "THOUGHTS"
"Modality of the response: tokens that the model spent on thinking."
TOOL_USE = "TOOL_USE"
"Modality of the prompt: tokens that the server's own tools read."
_TEXT_LIKE = (THOUGHTS, TOOL_USE)
_FILE_KEYS = ("as_of", "source", "models")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What one model's tokens cost.

    Attributes:
        as_of: the day on which the price was looked up, ISO 8601.
        source: where it was looked up.
        prompt: US dollars per million tokens of the context, by modality, including TEXT.
        response: the same for the answer.
    """

    as_of: str
    source: str
    prompt: Mapping[str, Decimal]
    response: Mapping[str, Decimal]

    def cost_usd(self, direction: Direction, modality: str, tokens: int) -> Decimal:
        """Return the exact cost of a number of tokens."""
        prices = self.prompt if direction == "prompt" else self.response
        price = prices["TEXT"] if modality in _TEXT_LIKE else prices.get(modality, max(prices.values()))
        return tokens * price / MILLION


Prices = Mapping[str, ModelPrice]
"""Keyed by the model's name, without anything before its last slash."""


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
"""The prices known when this version was made."""


def price_of(prices: Prices, model: str) -> ModelPrice | None:
    """Look up a model by its name or resource name (``models/...``); None if its price is not known."""
    return prices.get(model.rpartition("/")[2])


def parse_prices(text: str, name: str) -> Prices:
    """Read a price file; docs/usage.md describes it.

    Args:
        text: TOML.
        name: the file's name, for error messages.

    Raises:
        ConfigError: the message names the key and what it must contain.
    """
    try:
        told = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError) as error:  # also raised for numbers that are too long
        raise ConfigError(f"{name} is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply") from None
    unknown = [key for key in told if key not in _FILE_KEYS]
    models = told.get("models")
    if unknown or not isinstance(models, dict) or not models:
        wrong = f"unknown key {unknown[0]}" if unknown else "it has no model"
        raise ConfigError(
            f"{name}: {wrong}; expected as_of, source, [models.NAME.prompt] and [models.NAME.response]"
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
        raise ConfigError(f"{where} must hold US dollars per million tokens by modality, including TEXT")
    return {modality: _price(price, f"{where}.{modality}") for modality, price in told.items()}


def _price(told: Any, where: str) -> Decimal:
    number = isinstance(told, int | Decimal) and not isinstance(told, bool) and Decimal(told).is_finite()
    if not number or not 0 <= told < MILLION:
        raise ConfigError(f"{where} must be US dollars per million tokens, for example 0.75")
    return Decimal(told)
