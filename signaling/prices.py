"""Read the operator's price file, and report a model without a price."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.dialog.prices import KNOWN, Prices, parse_prices, price_of
from agent.errors import ConfigError
from agent.settings import Settings

logger = logging.getLogger(__name__)


def load_prices(settings: Settings) -> Prices:
    """Return the prices that this service uses: the operator's own, and the known ones for all other models.

    Raises:
        ConfigError: the file cannot be used, or there is a budget but no price to check it against.
    """
    prices = {**KNOWN, **_own(settings.price_file)}
    if price_of(prices, settings.model) is None:
        budgets = ("budget_usd", "daily_budget_usd", "key_daily_budget_usd")
        for name in (name for name in budgets if getattr(settings, name) is not None):
            raise ConfigError(
                f"{settings.source(name)}: cannot be enforced: there is no price for the model {settings.model}; "
                "add one to the file that price_file names"
            )
        logger.warning("the cost of calls is not known: there is no price for the model %s", settings.model)
    return prices


def _own(name: str | None) -> Prices:
    if name is None:
        return {}
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"price_file: {name} cannot be read: {reason}") from None
    return parse_prices(text, name)
