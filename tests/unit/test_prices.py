"""Which price list a service uses, and what it says when there is none."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from agent.dialog.prices import KNOWN
from agent.errors import ConfigError
from agent.settings import Settings
from signaling.prices import load_prices

OWN = "[models.mine]\nprompt = {TEXT = 1}\nresponse = {TEXT = 2.5}\n"
CHEAPER = '[models."gemini-3.8-live"]\nprompt = {TEXT = 0.1}\nresponse = {TEXT = 0.2}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


def test_without_a_file_the_known_prices_hold(caplog: pytest.LogCaptureFixture) -> None:
    assert load_prices(Settings(budget_usd=1)) == KNOWN
    assert caplog.records == []


def test_own_prices_stand_in_front_of_the_known_ones(file: Path) -> None:
    file.write_text(OWN + CHEAPER, encoding="utf-8")
    prices = load_prices(Settings(price_file=str(file), model="mine", budget_usd=1))
    assert prices["mine"].response == {"TEXT": Decimal("2.5")}
    assert prices["gemini-3.8-live"].prompt == {"TEXT": Decimal("0.1")}
    assert prices["gemini-3.1-flash-live-preview"] is KNOWN["gemini-3.1-flash-live-preview"]


def test_a_model_without_a_price_is_said_and_refused_with_a_budget(caplog: pytest.LogCaptureFixture) -> None:
    load_prices(Settings(model="mine"))
    assert [record.message for record in caplog.records] == [
        "the cost of calls is not known: there is no price for the model mine"
    ]
    with pytest.raises(ConfigError, match="no price for the model mine; add one to the file"):
        load_prices(Settings(model="mine", budget_usd=1))


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    settings = Settings(price_file=str(file))
    with pytest.raises(ConfigError, match=r"price_file: .*prices\.toml cannot be read: No such file"):
        load_prices(settings)
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load_prices(settings)
    file.write_text("[", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"prices\.toml is not TOML"):
        load_prices(settings)
    for number in ("9" * 5000, "1e" + "9" * 30):
        file.write_text(f"[models.m.prompt]\nTEXT = {number}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"prices\.toml"):
            load_prices(settings)
    file.write_text("models = " + "[" * 9000, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"prices\.toml is nested too deeply"):
        load_prices(settings)
