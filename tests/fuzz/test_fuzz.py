"""The corpus of each target and a few inputs more; `make fuzz` goes on for hours. And the fuzzer finds faults."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.fuzz.mutate import Kind, Mutator
from tests.fuzz.run import Report, fuzz
from tests.fuzz.target import DATA, Take, Target, read_pieces, write_pieces
from tests.fuzz.targets import TARGETS


def told(report: Report) -> str:
    return "\n".join(f"{each.what}: {each.pieces}\n{each.trace}" for each in report.failures.values())


@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors_come_out_and_soon(name: str) -> None:
    target = TARGETS[name]
    report = fuzz(target, target.quick, seed=1)
    assert not report.failures, told(report)
    assert report.executions == target.quick + len(target.corpus())
    assert len(report.outcomes) > 2, "all inputs went the same way: they do not get far"


def test_each_folder_of_the_corpus_is_of_a_target() -> None:
    assert {path.name for path in (DATA / "fuzz").iterdir()} <= TARGETS.keys()


def planted(fault: Callable[[bytes], object], kind: Kind = "bytes", limit_s: float = 10.0) -> Target:
    @contextmanager
    def fresh() -> Iterator[Take]:
        yield fault

    return Target("planted", kind, fresh, (KeyError,), lambda: [[b"a" * 30, b"b" * 30], [b"c"]], limit_s=limit_s)


def test_a_fault_is_found_and_reduced() -> None:
    def fault(piece: bytes) -> object:
        if b"a" in piece and b"c" in piece:
            raise ValueError
        return len(piece)

    report = fuzz(planted(fault), 5000, seed=1)
    (failure,) = report.failures.values()
    assert failure.what.startswith("ValueError in ")
    assert [sorted(piece) for piece in failure.pieces] == [sorted(b"ac")]


def test_a_documented_error_is_no_fault() -> None:
    def fault(piece: bytes) -> object:
        raise KeyError(piece)

    assert not fuzz(planted(fault), 50, seed=1).failures


def test_what_is_slow_is_found() -> None:
    def fault(piece: bytes) -> object:
        began = time.thread_time()
        while piece == b"c" and time.thread_time() - began < 0.03:
            pass
        return None

    report = fuzz(planted(fault, limit_s=0.02), 0, seed=1)
    assert list(report.failures) == ["slow"]
    assert report.worst_s > 0.02


@pytest.mark.parametrize("kind", ["lines", "json", "bytes"])
def test_the_same_seed_makes_the_same_inputs(kind: Kind) -> None:
    corpus = [[b'{"a": [1, "x"], "b": null}', b"a=mid:0 1"], [b"m=audio 9 x"]]

    def made(seed: int) -> list[list[bytes]]:
        mutator = Mutator(kind, corpus, random.Random(seed), max_bytes=5000)
        return [mutator.next() for _ in range(300)]

    inputs = made(3)
    assert inputs == made(3) != made(4)
    assert all(sum(map(len, pieces)) <= 5000 for pieces in inputs)
    assert len({b"\n".join(pieces) for pieces in inputs}) > 150


@pytest.mark.parametrize("kind", ["lines", "bytes"])
def test_a_file_of_the_corpus_is_read_as_it_was_written(kind: Kind) -> None:
    pieces = [b"v=0", b"", b"x", b""]
    assert read_pieces(write_pieces(pieces, kind), kind) == pieces
