"""Read the operator's price file, and say what has no price."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.dialog.prices import KNOWN, Prices, parse_prices, price_of
from agent.errors import ConfigError
from agent.settings import Settings

logger = logging.getLogger(__name__)


def load_prices(settings: Settings) -> Prices:
    """Return the prices that this service goes by: those it knows, and the operator's in front of them.

    Raises:
        ConfigError: the file cannot be used, or there is a budget and no price to hold it against.
    """
    prices = {**KNOWN, **_own(settings.price_file)}
    if price_of(prices, settings.model) is None:
        budgets = ("budget_usd", "daily_budget_usd", "key_daily_budget_usd")
        for name in (name for name in budgets if getattr(settings, name) is not None):
            raise ConfigError(
                f"{name} cannot be kept: there is no price for the model {settings.model}; "
                "name one in TALKSPURT_PRICE_FILE"
            )
        logger.warning("calls have no cost: there is no price for the model %s", settings.model)
    return prices


def _own(name: str | None) -> Prices:
    if name is None:
        return {}
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"cannot read the price file {name}: {reason}; see TALKSPURT_PRICE_FILE") from None
    return parse_prices(text, name)
