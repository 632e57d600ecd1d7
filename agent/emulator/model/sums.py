"""Sums in digits and in English words; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.emulator.model.phrases import SMALL, TENS, below_hundred

_UNITS = {word: n for n, word in enumerate(SMALL)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_SYNONYMS = {
    "+": ("+", "plus", "add", "added"),
    "-": ("-", "minus", "less"),
    "*": ("*", "x", "\u00d7", "times", "multiplied"),
    "/": ("/", "\u00f7", "divided", "over"),
}
_OPERATORS = {word: operator for operator, words in _SYNONYMS.items() for word in words}
_SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+|[-+*/\u00d7\u00f7]")
_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Sum:
    """A sum that was found in a sentence."""

    spoken: str
    """The sum in words and digits, ``12 plus 30``."""
    value: float | None
    """The result; None when it divides by zero."""

    @property
    def too_large(self) -> bool:
        return self.value is not None and abs(self.value) >= _LIMIT


def number_words(number: str | int | float) -> str:
    """``12.5`` as ``twelve point five``; whole numbers below a thousand million."""
    text = f"{number:.2f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
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
    for scale, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if n >= scale:
            count, rest = divmod(n, scale)
            return f"{_whole_words(count)} {name}" + (f" {_whole_words(rest)}" if rest else "")
    raise AssertionError(n)


def find_sum(text: str) -> Sum | None:
    """The first sum in a sentence: numbers and operators in turn, at least two numbers."""
    run: list[float | str] = []
    for item in _items(text.lower()):
        if isinstance(item, float):
            if run and isinstance(run[-1], float):
                run = []  # two numbers side by side are no sum
            run.append(item)
        elif item in _SPOKEN and run and isinstance(run[-1], float):
            run.append(item)
        elif item == "-" and (not run or run[-1] in _SPOKEN):
            run.append("neg")
        elif len(run) >= 3:
            break
        else:
            run = []
        run = _apply_sign(run)
    while run and not isinstance(run[-1], float):
        run.pop()
    return _solve(run) if len(run) >= 3 else None


def _apply_sign(run: list[float | str]) -> list[float | str]:
    if len(run) >= 2 and run[-2] == "neg" and isinstance(run[-1], float):
        return [*run[:-2], -run[-1]]
    return run


def _items(text: str) -> list[float | str]:
    """Numbers, operators and ``.`` for every other word."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text).replace("multiplied by", "*").replace("divided by", "/")
    tokens = _TOKEN.findall(text)
    items: list[float | str] = []
    at = 0
    while at < len(tokens):
        value, used = _number_at(tokens, at)
        if value is not None:
            items.append(value)
            at += used
            continue
        items.append(_OPERATORS.get(tokens[at], "."))
        at += 1
    return items


def _number_at(tokens: list[str], at: int) -> tuple[float | None, int]:
    if tokens[at][0].isdigit():
        return float(tokens[at]), 1
    if tokens[at] in ("a", "one") and tokens[at + 1 : at + 2] and tokens[at + 1] in _SCALES:
        total, start = 0.0, at + 1
        current: float | None = 1.0
    elif tokens[at] in _UNITS:
        total, start = 0.0, at + 1
        current = float(_UNITS[tokens[at]])
    else:
        return None, 0
    here = start
    while here < len(tokens):
        word = tokens[here]
        if word in _SCALES:
            total, current = _scaled(total, current or 0.0, _SCALES[word])
        elif word in _UNITS and _continues(current, _UNITS[word]):
            current = (current or 0.0) + _UNITS[word]
        elif not (word == "and" and tokens[here - 1] in _SCALES and tokens[here + 1 : here + 2]):
            break
        here += 1
    return total + (current or 0.0), here - at


def _scaled(total: float, current: float, scale: int) -> tuple[float, float]:
    if scale == 100:
        return total, current * 100
    return (total + current) * scale, 0.0


def _continues(current: float | None, unit: int) -> bool:
    """Whether a number word goes on the number before it: ``twenty`` + ``one``, ``hundred`` + ``five``."""
    if not current:
        return current is not None
    if current % 100 == 0:
        return True
    return current % 10 == 0 and current % 100 >= 20 and 0 < unit < 10


def _solve(run: list[float | str]) -> Sum:
    spoken = " ".join(_SPOKEN[item] if isinstance(item, str) else shown(item) for item in run)
    terms: list[float] = [float(run[0])]
    for operator, operand in zip(run[1::2], run[2::2], strict=True):
        value = float(operand)
        match operator:
            case "+":
                terms.append(value)
            case "-":
                terms.append(-value)
            case "*":
                terms[-1] *= value
            case _ if value == 0:
                return Sum(spoken, None)
            case _:
                terms[-1] /= value
    return Sum(spoken, sum(terms))


def shown(value: float) -> str:
    """A number as a person writes it: no trailing zeros, two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
