"""Change inputs at random, in the terms of what they are: lines of text, JSON texts, or bytes.

An input is a list of pieces. Text has a piece per line, a conversation one per message, a call one per datagram. So
pieces are left out, doubled, moved, taken from another input, repeated up to the size that a parser may be given,
changed inside. The same seed makes the same inputs.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

Pieces = list[bytes]
Kind = Literal["lines", "json", "bytes"]

MAX_PIECES = 20_000
WORDS: tuple[bytes, ...] = (
    *(b"", b"0", b"-1", b"1", b"65535", b"65536", b"4294967295", b"4294967296", b"9" * 40, b"1e999", b"NaN"),
    *(b"\x00", b"\xff\xfe", "\N{SUPERSCRIPT TWO}".encode(), "\N{ARABIC-INDIC DIGIT THREE}".encode()),
    *(b"%s%n", b"::1", b"0.0.0.0", b"a" * 300, b"\xed\xa0\x80", "\N{LINE SEPARATOR}".encode(), b"true", b"null"),
)
_TOKEN = re.compile(rb"[\w.+-]+|[^\w.+-]+")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")),
    *("", "0", "\x00", "\ud800", "\udc00\ud800", "a" * 5000, "é" * 99, "AAAA", "=", "1e9999s", "9" * 5000),
    *([], {}, [[]], [None], {"": None}, [[[[[[[[[[]]]]]]]]]], {"a": {"a": {"a": {"a": {}}}}}),
)
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 64, 127, 128, 255, 256, 1500, 32767, 32768, 65535)


class Mutator:
    """Makes inputs out of a corpus that may grow meanwhile."""

    def __init__(self, kind: Kind, corpus: Sequence[Pieces], rng: random.Random, max_bytes: int) -> None:
        self._corpus = corpus
        self._rng = rng
        self._max_bytes = max_bytes
        self._change: Callable[[bytes], bytes] = {"lines": self._line, "json": self._json, "bytes": self._bytes}[
            kind
        ]

    def next(self) -> Pieces:
        """Return another input."""
        rng = self._rng
        pieces = list(rng.choice(self._corpus))
        for _ in range(1 + int(rng.expovariate(0.5))):
            self._change_pieces(pieces)
        size, fitting = 0, Pieces()
        for piece in pieces[:MAX_PIECES]:
            size += len(piece) + 1
            if size > self._max_bytes + 1:
                break
            fitting.append(piece)
        return fitting

    def _change_pieces(self, pieces: Pieces) -> None:
        rng = self._rng
        if not pieces:
            pieces.append(rng.choice(WORDS))
        at, choice = rng.randrange(len(pieces)), rng.random()
        if choice < 0.70:
            pieces[at] = self._change(pieces[at])
        elif choice < 0.76:
            del pieces[at : at + int(rng.expovariate(0.5)) + 1]
        elif choice < 0.82:
            pieces.insert(rng.randrange(len(pieces) + 1), pieces[at])
        elif choice < 0.88:
            pieces.insert(at, pieces.pop(rng.randrange(len(pieces))))
        elif choice < 0.999:
            other = rng.choice(self._corpus)
            begin = rng.randrange(len(other) + 1)
            pieces[at:at] = other[begin : begin + rng.choice((1, 1, 1, 4, len(other)))]
        else:  # as much of it as there may be
            some = pieces[at : at + rng.choice((1, 1, 3))]
            room = self._max_bytes - sum(map(len, pieces)) - len(pieces)
            pieces[at:at] = some * min(max(room, 0) // (sum(map(len, some)) + len(some)), MAX_PIECES)

    def _line(self, line: bytes) -> bytes:
        rng = self._rng
        if rng.random() < 0.2:
            return self._bytes(line)
        tokens = _TOKEN.findall(line) or [b""]
        at = rng.randrange(len(tokens))
        match rng.randrange(5):
            case 0:
                tokens[at] = rng.choice(WORDS)
            case 1:
                tokens[at] = rng.choice(_TOKEN.findall(rng.choice(rng.choice(self._corpus) or [b""])) or [b""])
            case 2:
                del tokens[at : at + rng.randint(1, 3)]
            case 3:
                tokens.insert(at, rng.choice(tokens))
            case 4:
                some = tokens[at : at + rng.randint(1, 4)]
                times = rng.choice((1, 2, 30, 3000))
                tokens[at:at] = some * min(times, self._max_bytes // max(sum(map(len, some)), 1))
        return b"".join(tokens).replace(b"\n", b"")

    def _json(self, text: bytes) -> bytes:
        rng = self._rng
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self._bytes(text)
        match rng.randrange(30):
            case 0:
                return self._bytes(text)
            case 1:
                deep = rng.choice((5, 100, 1000, 20_000))
                opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
                return text[:-1] + b',"x":' + opening * deep + b"0" + closing * deep + text[-1:]
            case _:
                changed = self._value(value, rng.randrange(6))
                return json.dumps(changed, ensure_ascii=rng.random() < 0.9).encode(errors="surrogatepass")

    def _value(self, value: Any, depth: int) -> Any:
        """Return a JSON value that is changed somewhere, most often deep inside."""
        rng = self._rng
        if isinstance(value, dict | list) and value and depth > 0:
            key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
            if rng.random() < 0.1:
                del value[key]
            elif isinstance(value, list) and rng.random() < 0.1:
                value[key:key] = [value[key]] * rng.choice((1, 3, 100))
            elif isinstance(value, dict) and rng.random() < 0.1:
                value[rng.choice((*value, "", "a" * 300, "\ud800"))] = value[key]
            else:
                value[key] = self._value(value[key], depth - 1)
            return value
        if isinstance(value, str) and rng.random() < 0.5:
            return self._bytes(value.encode(errors="surrogatepass")).decode(errors="replace")
        if isinstance(value, int | float) and rng.random() < 0.3:
            return rng.choice((str(value), -value, value * 2 ** rng.randrange(40)))
        return rng.choice(VALUES)

    def _bytes(self, data: bytes) -> bytes:
        rng, made = self._rng, bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
            at, end = (rng.randrange(len(made)) if made else 0), rng.randint(1, 8)
            match rng.randrange(8):
                case 0 if made:
                    made[at] ^= 1 << rng.randrange(8)
                case 1 if made:
                    made[at] = rng.randrange(256)
                case 2:
                    width = rng.choice((1, 2, 4))
                    made[at : at + width] = (rng.choice(_NUMBERS) % 256**width).to_bytes(width, "big")
                case 3:
                    made[at:at] = rng.randbytes(end)
                case 4:
                    del made[at : at + end]
                case 5:
                    made[at:at] = made[at : at + end] * rng.choice((1, 1, 4, 200))
                case 6:
                    del made[at:]
                case _:
                    other = rng.choice(rng.choice(self._corpus) or [b""])
                    made[at:] = other[rng.randrange(len(other) + 1) :]
        return bytes(made[: self._max_bytes])
