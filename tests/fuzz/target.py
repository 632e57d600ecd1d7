"""What is fuzzed, and its corpus in tests/data/fuzz."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import Kind, Pieces

DATA = Path(__file__).parent.parent / "data"
LIMIT_S = 0.05

Take = Callable[[bytes], object]
"""Gives one piece to the parser, and returns something hashable that tells how it went: what is new is kept."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, or a row of them.

    Attributes:
        name: on the command line; names its folder of the corpus, too.
        kind: what its inputs are.
        fresh: makes what takes one input, its pieces one after the other; whatever they leave ends with it.
        expected: errors that may come out, because they are documented.
        more: inputs to begin with besides those in its folder.
        joined: the pieces are put together with this in between and taken at once; None for one by one.
        max_bytes: of an input.
        limit_s: CPU time that a piece may take.
        quick: executions in `make test`.
    """

    name: str
    kind: Kind
    fresh: Callable[[], AbstractContextManager[Take]]
    expected: tuple[type[Exception], ...] = ()
    more: Callable[[], Iterable[Pieces]] = tuple
    joined: bytes | None = None
    max_bytes: int = 64 << 10
    limit_s: float = LIMIT_S
    quick: int = 2000

    def corpus(self) -> dict[str, Pieces]:
        """Return its inputs by name."""
        files = sorted((DATA / "fuzz" / self.name).glob("*"))
        found = {path.name: read_pieces(path.read_bytes(), self.kind) for path in files}
        return found | {f"more {number}": pieces for number, pieces in enumerate(self.more())}


def read_pieces(data: bytes, kind: Kind) -> Pieces:
    """Read a file of the corpus: a piece per line; bytes are written as hex, and # begins a comment."""
    lines = data.removesuffix(b"\n").split(b"\n")
    if kind != "bytes":
        return lines
    return [bytes.fromhex(line.decode()) for line in lines if not line.startswith(b"#")]


def write_pieces(pieces: Pieces, kind: Kind) -> bytes:
    """Return the file of an input."""
    lines = [piece.hex().encode() for piece in pieces] if kind == "bytes" else pieces
    return b"\n".join(lines) + b"\n"


def text_files(folder: str) -> list[Pieces]:
    """Return other tests' data as inputs of lines."""
    return [read_pieces(path.read_bytes(), "lines") for path in sorted((DATA / folder).glob("*"))]
