"""Fuzz the service's parsers: ``python -m tests.fuzz [TARGET...] --executions N --seed S --seconds S``.

Without targets all take turns. Each failure is reduced and written to the corpus, where `make test` runs it from
then on; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import sys
import time

from tests.fuzz.run import Failure, Report, fuzz
from tests.fuzz.target import DATA, Target, write_pieces
from tests.fuzz.targets import TARGETS

ROUND = 20_000  # executions of a target until it is another's turn


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; all if none")
    parser.add_argument("--executions", type=int, default=ROUND, help="of each target in a round")
    parser.add_argument(
        "--seed", type=int, help="of the first round, the next one has the next number; any if not given"
    )
    parser.add_argument("--seconds", type=float, help="go round until then; one round if not given, 0 for no end")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.targets if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    targets = [TARGETS[name] for name in chosen.targets or TARGETS]
    first_seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    end_at = time.monotonic() + chosen.seconds if chosen.seconds else float("inf")
    failed = False
    try:
        for seed in itertools.count(first_seed) if chosen.seconds is not None else [first_seed]:
            for target in targets:
                report = fuzz(target, chosen.executions, seed, until=lambda: time.monotonic() >= end_at)
                tell(target, seed, report)
                failed = failed or bool(report.failures)
            if time.monotonic() >= end_at:
                break
    except KeyboardInterrupt:
        print("stopped")
    return int(failed)


def tell(target: Target, seed: int, report: Report) -> None:
    rate = report.executions / max(report.seconds, 1e-9)
    print(
        f"{target.name:12} seed {seed}: {report.executions:,} executions, {report.taken:,} taken, {rate:,.0f}/s, "
        f"{len(report.outcomes)} outcomes, slowest {report.worst_s * 1000:.1f} ms, "
        f"{len(report.failures)} failures",
        flush=True,
    )
    for failure in report.failures.values():
        print(f"  {failure.what}: {save(target, failure)}\n{failure.trace}", flush=True)


def save(target: Target, failure: Failure) -> str:
    data = write_pieces(failure.pieces, target.kind)
    path = DATA / "fuzz" / target.name / f"found-{hashlib.sha256(data).hexdigest()[:8]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
