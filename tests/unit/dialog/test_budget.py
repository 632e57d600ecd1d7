"""The meter against sums done by hand, and what a price file may contain."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.budget import Meter, Spent
from agent.dialog.prices import KNOWN, ModelPrice, parse_prices, price_of
from agent.errors import ConfigError

PRICE = KNOWN["gemini-3.8-live"]
FILE = """
as_of = 2026-11-01
source = "our contract"

[models."gemini-3.8-live".prompt]
TEXT = 0.6
AUDIO = 2
[models."gemini-3.8-live".response]
TEXT = 4
"""


@pytest.mark.parametrize(
    ("prompt", "response", "others", "usd"),
    [
        ({"AUDIO": 100_000}, {}, {}, "0.30"),
        ({"TEXT": 200_000}, {}, {}, "0.15"),
        ({"IMAGE": 129_000, "VIDEO": 129_000}, {}, {}, "0.258"),
        ({}, {"AUDIO": 50_000}, {}, "0.60"),
        ({}, {"TEXT": 10_000}, {}, "0.045"),
        ({}, {}, {"thoughts_tokens": 20_000}, "0.09"),  # as text of the answer
        ({}, {}, {"tool_use_tokens": 40_000}, "0.03"),  # as text of the prompt
        ({"UNKNOWN": 1_000_000}, {"UNKNOWN": 1_000_000}, {}, "15"),  # as audio, the dearest
        ({"SMELL": 1_000_000}, {}, {}, "3"),
        # a turn as the real service reported it: 249 + 495 + 75 + 504 + 612 millionths
        ({"TEXT": 332, "AUDIO": 165, "UNKNOWN": 25}, {"AUDIO": 42}, {"thoughts_tokens": 136}, "0.001935"),
        ({}, {}, {}, "0"),
    ],
)
def test_a_turn_costs_what_the_price_list_says(
    prompt: dict[str, int], response: dict[str, int], others: dict[str, int], usd: str
) -> None:
    meter = Meter(PRICE)
    meter.bill(prompt, response, **others)
    assert meter.spent.cost_usd == Decimal(usd)


def test_the_context_is_billed_anew_each_turn() -> None:
    """Ten exchanges, 10 s of caller and 10 s of agent each: the context grows by 500 tokens a turn."""
    meter = Meter(PRICE)
    for turn in range(1, 11):
        meter.bill({"AUDIO": 500 * turn - 250}, {"AUDIO": 250})
    # 250 * (1 + 3 + ... + 19) = 25 000 at $3, and 2 500 at $12
    assert meter.spent.cost_usd == Decimal("0.075") + Decimal("0.03")
    assert meter.spent.by_direction() == {"prompt": {"AUDIO": 25_000}, "response": {"AUDIO": 2_500}}


def test_without_a_price_tokens_are_counted_and_the_cost_is_unknown() -> None:
    meter = Meter(None)
    meter.bill({"AUDIO": 5}, {"AUDIO": 7}, thoughts_tokens=1, tool_use_tokens=2)
    assert meter.spent.cost_usd is None
    assert meter.spent.by_direction() == {
        "prompt": {"AUDIO": 5, "TOOL_USE": 2},
        "response": {"AUDIO": 7, "THOUGHTS": 1},
    }


TOKENS = st.dictionaries(
    st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO", "UNKNOWN"]), st.integers(0, 200_000), max_size=3
)
TURNS = st.lists(st.tuples(TOKENS, TOKENS, st.integers(0, 5_000), st.integers(0, 5_000)), max_size=8)
Turn = tuple[dict[str, int], dict[str, int], int, int]


def bill(meter: Meter, turn: Turn) -> Decimal:
    prompt, response, thoughts, tool_use = turn
    meter.bill(prompt, response, thoughts_tokens=thoughts, tool_use_tokens=tool_use)
    assert meter.spent.cost_usd is not None
    return meter.spent.cost_usd


@given(TURNS, st.sampled_from(sorted(KNOWN)))
def test_a_calls_cost_never_shrinks_and_is_the_sum_of_its_turns(turns: list[Turn], model: str) -> None:
    meter, total = Meter(KNOWN[model]), Decimal(0)
    for turn in turns:
        total += bill(Meter(KNOWN[model]), turn)
        assert bill(meter, turn) == total  # exactly: and a sum of turns that cost 0 or more never shrinks
    assert meter.spent.tokens.total() == sum(
        sum(prompt.values()) + sum(response.values()) + a + b for prompt, response, a, b in turns
    )


def test_calls_add_up_and_those_without_a_price_cost_nothing() -> None:
    total = Spent()
    assert total.cost_usd is None
    for price in (PRICE, None, PRICE):
        meter = Meter(price)
        meter.bill({"AUDIO": 1_000_000}, {})
        total.add(meter.spent)
    assert total.cost_usd == 6
    assert total.by_direction()["prompt"] == {"AUDIO": 3_000_000}


def test_what_an_earlier_call_had_used_counts_for_this_one_and_not_twice_for_all() -> None:
    before = Meter(PRICE)
    before.bill({"AUDIO": 1_000_000}, {})
    meter = Meter(PRICE, before.spent)
    meter.bill({"AUDIO": 1_000_000}, {})
    assert meter.total().cost_usd == 6
    assert meter.spent.cost_usd == 3
    assert meter.total().by_direction()["prompt"] == {"AUDIO": 2_000_000}
    assert before.spent.cost_usd == 3


@pytest.mark.parametrize(
    "name", ["gemini-3.8-live", "models/gemini-3.8-live", "publishers/google/models/gemini-3.8-live"]
)
def test_a_model_is_known_by_any_of_its_names(name: str) -> None:
    assert price_of(KNOWN, name) is PRICE


def test_another_model_has_no_price() -> None:
    assert price_of(KNOWN, "gemini-3.8-live-and-kicking") is None


def test_every_known_price_has_a_date_and_a_source() -> None:
    for price in KNOWN.values():
        assert price.as_of.startswith("20")
        assert price.source
        assert min(*price.prompt.values(), *price.response.values()) > 0


def test_a_price_file_is_read() -> None:
    prices = parse_prices(FILE, "prices.toml")
    assert prices == {
        "gemini-3.8-live": ModelPrice(
            "2026-11-01",
            "our contract",
            {"TEXT": Decimal("0.6"), "AUDIO": Decimal(2)},
            {"TEXT": Decimal(4)},
        )
    }
    assert prices["gemini-3.8-live"].cost_usd("response", "AUDIO", 500_000) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "prices.toml is not TOML"),
        ("", "prices.toml: it has no model"),
        ("models = 5", "it has no model"),
        ("[models]", "it has no model"),
        ("currency = 'EUR'", "unknown key currency; expected as_of, source"),
        ("[models.x]\nprompt = 1", "models.x must hold prompt and response"),
        ("[models]\nx = 1", "models.x must hold prompt and response"),
        ("[models.x]\nprompt = 1\nresponse = {TEXT = 1}", "models.x.prompt must hold US dollars"),
        ("[models.x]\nprompt = {AUDIO = 1}\nresponse = {TEXT = 1}", "models.x.prompt must .* including TEXT"),
        ("[models.x]\nprompt = {TEXT = 1}\nresponse = {TEXT = -1}", "models.x.response.TEXT must be US dollars"),
        ("[models.x]\nprompt = {TEXT = nan}\nresponse = {TEXT = 1}", "models.x.prompt.TEXT must be"),
        ("[models.x]\nprompt = {TEXT = inf}\nresponse = {TEXT = 1}", "models.x.prompt.TEXT must be"),
        ("[models.x]\nprompt = {TEXT = '1'}\nresponse = {TEXT = 1}", "models.x.prompt.TEXT must be"),
        ("[models.x]\nprompt = {TEXT = true}\nresponse = {TEXT = 1}", "models.x.prompt.TEXT must be"),
    ],
)
def test_a_price_file_that_cannot_be_used_is_named_with_its_key(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_prices(text, "prices.toml")
