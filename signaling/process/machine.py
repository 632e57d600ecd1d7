"""How many calls this machine has room for: what one process may use of its cores and memory.

Containers limit both by control groups, which `os.cpu_count` and ``/proc/meminfo`` do not show (kernel
documentation, admin-guide/cgroup-v2: ``cpu.max``, ``memory.max``; cgroup-v1: ``cpu.cfs_quota_us``,
``memory.limit_in_bytes``).
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

CALLS_PER_CORE = 100  # more than one core's event loop can serve while all are talking; quality is watched as well
CALL_BYTES = 2_000_000  # `python -m tests.bench --parts memory` finds 0.8 MB, and a camera needs as much again
PROCESS_BYTES = 250_000_000  # Python, the libraries and the speech pack, with some to spare

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
MEMORY_INFO = Path("/proc/meminfo")


@cache
def room_for_calls() -> int:
    """Return how many calls one process on this machine may take, at least one."""
    return calls_that_fit(cores(), memory_bytes())


def calls_that_fit(cores: float, memory_bytes: float) -> int:
    """Return how many calls fit into a process.

    Args:
        cores: how many it may use; all calls of a process share one event loop, so more than one is no help.
        memory_bytes: how much it may use.
    """
    by_time = CALLS_PER_CORE * min(cores, 1.0)
    by_memory = (memory_bytes - PROCESS_BYTES) / CALL_BYTES
    return max(1, int(min(by_time, by_memory)))


def cores() -> float:
    """Return how many cores this process may use; a container may have a fraction of one."""
    found = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _folders(""):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            found = min(found, float(quota) / float(period))
    for folder in _folders("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota_us = int((folder / "cpu.cfs_quota_us").read_text())
            if quota_us > 0:  # -1: no limit
                found = min(found, quota_us / int((folder / "cpu.cfs_period_us").read_text()))
    return found


def memory_bytes() -> float:
    """Return how much memory this process may use; infinity where nothing tells."""
    found = float("inf")
    with suppress(OSError, ValueError, StopIteration):
        lines = MEMORY_INFO.read_text().splitlines()
        found = 1024.0 * int(next(line for line in lines if line.startswith("MemTotal:")).split()[1])
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for folder in _folders(controller):
            with suppress(OSError, ValueError):  # "max": no limit
                found = min(found, float(int((folder / name).read_text())))
    return found


def _folders(controller: str) -> list[Path]:
    """Return this process's control group and those around it; ``controller`` is empty for version 2."""
    with suppress(OSError):
        for line in OWN_CGROUP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                own = CGROUPS / controller / path.strip("/")
                return [own, *(each for each in own.parents if each.is_relative_to(CGROUPS))]
    return []
