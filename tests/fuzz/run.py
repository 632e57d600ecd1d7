"""Give a target input after input, and say what went wrong and how long the slowest took."""

from __future__ import annotations

import gc
import logging
import random
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from tests.fuzz.mutate import Mutator, Pieces
from tests.fuzz.target import Target

HANG_S = 10.0  # of CPU time
MAX_KEPT = 2000  # inputs that did something new
COLLECT_EVERY = 500
MAX_REDUCING = 2000  # executions
MAX_FAILURES = 20


class HangError(BaseException):
    """An input took `HANG_S`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that did what none may.

    Attributes:
        what: the error and its place, or that it was slow; the same for all inputs that fail in the same way.
        pieces: the input, reduced.
        trace: of the error.
    """

    what: str
    pieces: Pieces = field(repr=False)
    trace: str = field(default="", repr=False)


@dataclass(slots=True)
class Report:
    """What came of a run.

    Attributes:
        executions: inputs.
        taken: pieces that the parser took; with those that are put together it is one of an input.
        seconds: that it lasted.
        worst_s: CPU time of the slowest piece.
        outcomes: ways in which inputs went.
        failures: by what they are.
    """

    executions: int = 0
    taken: int = 0
    seconds: float = 0.0
    worst_s: float = 0.0
    outcomes: set[object] = field(default_factory=set)
    failures: dict[str, Failure] = field(default_factory=dict)


def fuzz(target: Target, executions: int, seed: int, *, until: Callable[[], bool] = lambda: False) -> Report:
    """Run a target's corpus, then that many inputs made of it.

    Args:
        target: what to run.
        executions: inputs.
        seed: of the random numbers.
        until: says that it is enough.
    """
    report, corpus = Report(), list(target.corpus().values())
    # Larger ones would slow all that follow.
    kept_bytes = max((sum(map(len, pieces)) for pieces in corpus), default=0)
    mutator = Mutator(target.kind, corpus, random.Random(seed), target.max_bytes)
    began, given = time.monotonic(), list(corpus)
    with _quiet():
        gc.collect()
        gc.freeze()
        while report.executions < executions + len(given) and not until():
            number = report.executions
            pieces = given[number] if number < len(given) else mutator.next()
            report.executions += 1
            outcome, slowest_s, failure = _execute(target, pieces)
            report.taken += len(pieces) if target.joined is None else 1
            if failure is None and slowest_s > target.limit_s:
                slowest_s = min(slowest_s, *(_execute(target, pieces)[1] for _ in range(3)))
                failure = Failure("slow", pieces) if slowest_s > target.limit_s else None
            report.worst_s = max(report.worst_s, slowest_s)
            if failure is not None and failure.what not in report.failures:
                report.failures[failure.what] = _reduced(target, failure)
                if len(report.failures) >= MAX_FAILURES:
                    break
            if outcome not in report.outcomes:
                report.outcomes.add(outcome)
                if number >= len(given) and len(corpus) < MAX_KEPT and sum(map(len, pieces)) <= kept_bytes:
                    corpus.append(pieces)
            if number % COLLECT_EVERY == 0:
                gc.collect()
    gc.unfreeze()
    report.seconds = time.monotonic() - began
    return report


def _execute(target: Target, pieces: Pieces) -> tuple[object, float, Failure | None]:
    """Return how it went, the CPU time of the slowest piece, and what was wrong."""
    slowest_s, outcomes = 0.0, list[object]()
    signal.setitimer(signal.ITIMER_PROF, HANG_S, HANG_S)
    try:
        with target.fresh() as take:
            for piece in pieces if target.joined is None else [target.joined.join(pieces)]:
                began = time.thread_time()
                try:
                    outcomes.append(take(piece))
                except target.expected as error:
                    outcomes.append(_line(error))
                slowest_s = max(slowest_s, time.thread_time() - began)
    except (Exception, HangError) as error:
        return None, slowest_s, Failure(_place(error), pieces, "".join(traceback.format_exception(error)))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return tuple(outcomes[-8:]), slowest_s, None


def _line(error: BaseException) -> object:
    """Say where an error was raised, for little."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return type(error), step and step.tb_lineno


def _place(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].filename.rpartition('site-packages/')[2]}:{frames[-1].lineno}"


def _reduced(target: Target, failure: Failure) -> Failure:
    """Leave out of an input what is not needed for it to fail in the same way."""
    left = MAX_REDUCING

    def fails(pieces: Pieces) -> bool:
        nonlocal left
        left -= 1
        _, slowest_s, found = _execute(target, pieces)
        return (
            found.what == failure.what
            if found is not None
            else (failure.what == "slow" and slowest_s > target.limit_s)
        )

    if failure.what.startswith(HangError.__name__):
        return failure
    pieces = failure.pieces
    for cut in (_without_pieces, _without_bytes):
        step = max(len(pieces) if cut is _without_pieces else max(map(len, pieces), default=0), 1)
        while step >= 1 and left > 0:
            shorter = next((each for each in cut(pieces, step) if left > 0 and fails(each)), None)
            pieces, step = (pieces, step // 2) if shorter is None else (shorter, step)
    return Failure(failure.what, pieces, failure.trace)


def _without_pieces(pieces: Pieces, step: int) -> Iterator[Pieces]:
    return (pieces[:at] + pieces[at + step :] for at in range(0, len(pieces), step))


def _without_bytes(pieces: Pieces, step: int) -> Iterator[Pieces]:
    for number, piece in enumerate(pieces):
        for at in range(0, len(piece), step):
            yield [*pieces[:number], piece[:at] + piece[at + step :], *pieces[number + 1 :]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing, and let no input run for ever; collect garbage only in between, where it costs no input time."""

    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGPROF, hang)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gc.enable()
        logging.disable(disabled)
        signal.signal(signal.SIGPROF, before)
