"""``python -m tests.bench``: measure talkspurt beside plain aiortc, on this machine, in one run."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import platform
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agent.event_loop import loop_factory
from tests.bench import phases, report
from tests.bench.phases import Bench, Figures

PARTS = ("delays", "loss", "cpu", "video", "memory", "capacity")
PHASE_LIMIT_S = 180.0  # of one measurement, dialling included
LOAD_CALLS = 10  # for the cost of a call: enough that the process is busy rather than waking up
VIDEO_CALLS = 5  # fewer: plain aiortc is to have time left

console = Console()


def run(
    calls: Annotated[int, typer.Option(min=1, max=20, help="Calls whose delays are measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=2, max=120, help="Length of each measurement.")] = 20.0,
    loss: Annotated[str, typer.Option(help="Shares of the callers' packets to lose.")] = "0,0.01,0.05",
    capacity: Annotated[int, typer.Option(min=1, max=400, help="Talking calls that one core should hold.")] = 75,
    service: Annotated[str, typer.Option(help="talkspurt, plain or both.")] = "both",
    parts: Annotated[str, typer.Option(help="What to measure, of: " + ", ".join(PARTS) + ".")] = ",".join(PARTS),
    repeat: Annotated[
        int, typer.Option(min=1, max=9, help="Measure so often; what other programs disturbed least counts.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of marker times, losses and noise.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there.")] = None,
) -> None:
    """Measure what the service adds to a call, and the same for plain aiortc and google-genai.

    The service runs alone on one core; callers and Live server run on another. Only this machine is used.
    """
    services = ["talkspurt", "plain"] if service == "both" else [service]
    chosen = [part.strip() for part in parts.split(",")]
    shares = [float(share) for share in loss.split(",")]
    if set(chosen) - set(PARTS) or set(services) - {"talkspurt", "plain"}:
        raise typer.BadParameter("see --help for the parts and the services")
    if any(not 0 <= share < 0.5 for share in shares):
        raise typer.BadParameter("a share of loss is a number from 0 to 0.5")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        console.print("[red]one core only: the harness takes from the service what it needs itself")
    os.sched_setaffinity(0, {cores[-1]})
    logging.basicConfig(level=logging.ERROR)
    gc.collect()
    gc.freeze()  # a full collection would stop the harness for some 70 ms
    results: dict[str, Figures] = {name: {} for name in services}
    steps: dict[str, list[Figures]] = {}
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        for name in services:
            bench = Bench(name, cores[0], seed, seconds)
            runner.run(_measure(bench, results[name], steps, calls, shares, capacity, chosen, repeat))
    if "cpu" in chosen or "video" in chosen:
        report.level(results)
    lines = report.rows(shares, capacity)
    console.print(report.table(lines, results))
    for doubt in report.doubts(results):
        console.print(f"[yellow]{doubt}")
    if json_file is not None:
        about = _about(calls=calls, seconds=seconds, capacity=capacity, repeat=repeat, seed=seed)
        json_file.write_text(json.dumps({"about": about, "results": results, "capacity_steps": steps}, indent=1))


async def _measure(
    bench: Bench,
    results: Figures,
    steps: dict[str, list[Figures]],
    calls: int,
    shares: list[float],
    capacity: int,
    parts: list[str],
    repeat: int,
) -> None:
    """Add the figures of one service to ``results``."""

    async def best(title: str, measure: Callable[[], Awaitable[Figures]]) -> Figures:
        console.print(f"{bench.service}: {title} ...")
        runs = []
        for _ in range(repeat):
            async with asyncio.timeout(PHASE_LIMIT_S):
                runs.append(await measure())
        return min(runs, key=_disturbance)

    if "delays" in parts or "loss" in parts:
        clean = await best("delays", lambda: phases.measure_delays(bench, calls=calls, loss=0.0))
        results.update(clean)
    for share in shares if "loss" in parts else []:
        if share > 0:
            lossy = await best(
                f"delays at {share:.0%} loss",
                lambda share=share: phases.measure_delays(bench, calls=calls, loss=share),  # type: ignore[misc]
            )
            name = report.loss_name(share)
            results.update({f"{name}_{key}": value for key, value in lossy.items()})
            results[f"{name}_uplink_extra_p95_ms"] = lossy["uplink_p95_ms"] - clean["uplink_p95_ms"]
    if "cpu" in parts:
        cpu = await best("CPU", lambda: phases.measure_cpu(bench, calls=LOAD_CALLS))
        results.update({f"cpu_{key}": value for key, value in cpu.items()})
    if "video" in parts:
        video = await best("video", lambda: phases.measure_video(bench, calls=VIDEO_CALLS))
        results.update({f"video_{key}": value for key, value in video.items()})
    if "memory" in parts:
        results.update(await best("memory", lambda: phases.measure_memory(bench)))
    if "capacity" in parts:
        console.print(f"{bench.service}: capacity ...")
        held, steps[bench.service] = await phases.measure_capacity(bench, most=capacity, repeat=repeat)
        results.update(held)


def _disturbance(figures: Figures) -> float:
    """Return how much the machine kept service and harness from their cores."""
    return figures.get("service_core_foreign_pct", 0.0) + figures.get("harness_core_foreign_pct", 0.0)


def _about(**options: Any) -> dict[str, Any]:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return options | {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "commit": commit.stdout.strip(),
    }


if __name__ == "__main__":
    typer.run(run)
