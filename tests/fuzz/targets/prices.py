"""A price file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent.dialog.prices import parse_prices
from agent.errors import ConfigError
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target


@contextmanager
def fresh() -> Iterator[Take]:
    yield take


def take(data: bytes) -> object:
    prices = parse_prices(data.decode(errors="replace"), "prices.toml")
    for price in prices.values():
        assert price.cost_usd("prompt", "AUDIO", 10**6) >= 0
    return len(prices)


def files() -> list[Pieces]:
    first = [b'as_of = "2026-10-09"', b'source = "our contract"', b"[models.mine.prompt]", b"TEXT = 0.75"]
    more = [b"AUDIO = 3", b"[models.mine.response]", b"TEXT = 4.5", b'[models."a/b"]', b"prompt = {TEXT = 1}"]
    return [[*first, *more, b"response = {TEXT = 1, AUDIO = 2}"]]


TARGET = Target(
    "prices",
    "lines",
    fresh,
    expected=(ConfigError,),
    more=files,
    joined=b"\n",
    max_bytes=4 << 10,  # tomllib's time and memory grow with the square of a key's dots: 16 KiB of them are 260 MB
    quick=1000,
)
