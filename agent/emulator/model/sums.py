"""Sums in digits and in English words. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.emulator.model.phrases import SMALL, TENS, below_hundred

_UNITS = {word: n for n, word in enumerate(SMALL)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_SYMBOLS = {
    "+": r"plus|add|added",
    "-": r"minus|less",
    "*": r"times|x|\u00d7|multiplied(?:\W+by\b)?",
    "/": r"over|\u00f7|divided(?:\W+by\b)?",
}
_WORD = "|".join((*_UNITS, *_SCALES))
_NUMBER_IN_WORDS = re.compile(
    rf"\b(?:a\s+(?=hundred|thousand|million))?(?:{_WORD})(?:(?:\s+|-)(?:and\s+)?(?:{_WORD}))*\b"
)
_MAX_WORDS = 20  # of one number
_NUMBER = r"(?<![\d.])(?:-\s*)?\d+(?:\.\d+)?"
_OPERATOR = r"[^\w+*/-]*([-+*/])[^\w+*/-]*"
_SUM = re.compile(rf"{_NUMBER}(?:{_OPERATOR}{_NUMBER})+")
_TERM = re.compile(rf"(?:^|{_OPERATOR})({_NUMBER})")
_TOO_LARGE = 1_000_000_000


@dataclass(frozen=True)
class Sum:
    """A sum that was found in a sentence."""

    spoken: str
    """The sum in words and digits, e.g. ``12 plus 30``."""
    value: float | None
    """The result; None if it divides by zero."""

    @property
    def too_large(self) -> bool:
        return self.value is not None and not abs(self.value) < _TOO_LARGE  # a difference of infinities is NaN


def number_words(number: str | int | float) -> str:
    """``12.5`` as ``twelve point five``; of whole numbers from a thousand million on, the digits."""
    text = shown(number) if isinstance(number, float) else str(number)
    if text.startswith("-"):
        return f"minus {number_words(text[1:])}"
    whole, _, part = text.partition(".")
    if len(whole) > 9:
        return " ".join(SMALL[int(digit)] for digit in whole)
    words = _whole_words(int(whole or "0"))
    return words + (" point " + " ".join(SMALL[int(digit)] for digit in part) if part else "")


def _whole_words(n: int) -> str:
    if n < 100:
        return below_hundred(n)
    scale, name = next((scale, name) for name, scale in reversed(_SCALES.items()) if n >= scale)
    count, rest = divmod(n, scale)
    return f"{_whole_words(count)} {name}" + (f" {_whole_words(rest)}" if rest else "")


def find_sum(text: str) -> Sum | None:
    """The first sum in a sentence: at least two numbers with operators between them."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.lower())
    for symbol, words in _SYMBOLS.items():
        text = re.sub(rf"(?<![a-z])(?:{words})(?![a-z])", f" {symbol} ", text)
    match = _SUM.search(_NUMBER_IN_WORDS.sub(_in_digits, text))
    if match is None:
        return None
    terms = [(operator, float(re.sub(r"\s", "", number))) for operator, number in _TERM.findall(match[0])]
    spoken = " ".join(f"{_SPOKEN[operator]} {shown(n)}" if operator else shown(n) for operator, n in terms)
    return Sum(spoken, _value(terms))


def _in_digits(match: re.Match[str]) -> str:
    """``a hundred and five`` as ``105``; words that are not one number, like ``twenty four seven``, stay."""
    words = [word for word in re.findall(r"[a-z]+", match[0]) if word != "and"]
    if len(words) > _MAX_WORDS:
        return match[0]
    if words[0] == "a":
        words[0] = "one"
    total = current = 0
    for word in words:
        if word in _UNITS:
            current += _UNITS[word]
        elif word == "hundred":
            current *= 100
        else:
            total, current = total + current * _SCALES[word], 0
    value = total + current
    return str(value) if number_words(value) == " ".join(words) else match[0]


def _value(terms: list[tuple[str, float]]) -> float | None:
    """The result, products before sums; None if something is divided by zero."""
    products: list[float] = []
    for operator, operand in terms:
        if operator == "*":
            products[-1] *= operand
        elif operator == "/" and operand == 0:
            return None
        elif operator == "/":
            products[-1] /= operand
        else:
            products.append(-operand if operator == "-" else operand)
    return sum(products)


def shown(value: float) -> str:
    """A number as a person writes it: two decimals at most, no trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
