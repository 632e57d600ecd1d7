"""The service under test as a process of its own, held to one core; what it used of that core and of memory."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, thread_time
from typing import Protocol

import aiohttp

ROOT = Path(__file__).parents[2]
MODULES = {
    "talkspurt": ("signaling", "serve", "--port", "0", "--log-level", "info"),
    "plain": ("tests.bench.plain",),
}
_READY = re.compile(rb"ready: open (http://\S+)")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_FOREIGN = ("TALKSPURT_", "GOOGLE_", "GEMINI_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Reachable(Protocol):
    """A Live server on this machine."""

    @property
    def url(self) -> str:
        """``https://HOST:PORT``."""

    @property
    def ca_file(self) -> Path:
        """The certificate to trust."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used up to a moment, and what everybody has used of the core that it is held to.

    Attributes:
        at: monotonic seconds.
        cpu_s: processor time of all its threads.
        core_s: processor time that the core has spent on anything, the hypervisor's share included.
    """

    at: float
    cpu_s: float
    core_s: float

    def since(self, before: Usage) -> Usage:
        """Return what was used after ``before``, ``at`` being how long that took."""
        return Usage(self.at - before.at, self.cpu_s - before.cpu_s, self.core_s - before.core_s)

    @property
    def foreign_pct(self) -> float:
        """Return how much of the core other programs took; on a machine of one's own next to nothing."""
        return max(0.0, 100 * (self.core_s - self.cpu_s) / self.at)


def usage(pid: int, core: int) -> Usage:
    """Read a process's use of the processor, and the core's."""
    after_name = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    busy = user + nice + system + irq + softirq + steal
    return Usage(monotonic(), (int(after_name[11]) + int(after_name[12])) * _TICK_S, busy * _TICK_S)


def yardstick_ms(core: int) -> float:
    """Return how much processor time a fixed piece of work takes on a core now.

    Virtual machines run at a speed that changes by the second; a figure in time is worth what this is worth.
    The caller's thread goes there for a moment and comes back.
    """
    home = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    fastest = float("inf")
    for _ in range(3):
        before = thread_time()
        sum(range(400_000))
        fastest = min(fastest, thread_time() - before)
    os.sched_setaffinity(0, home)
    return 1e3 * fastest


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Service:
    """A running service; see `running_service`."""

    def __init__(self, name: str, url: str, pid: int, core: int, http: aiohttp.ClientSession) -> None:
        self.name = name
        self.url = url
        self.pid = pid
        self.core = core
        self.http = http

    async def metrics(self) -> dict[str, float]:
        """Return what it counts of itself; nothing if it does not."""
        if self.name != "talkspurt":
            return {}
        async with self.http.get(f"{self.url}metrics") as response:
            lines = (await response.text()).splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


@asynccontextmanager
async def running_service(
    name: str, live: Reachable, *, core: int, pinned: bool = True, max_calls: int = 100
) -> AsyncIterator[Service]:
    """Run a service whose Live server is ``live``.

    Args:
        name: ``talkspurt`` or ``plain``.
        live: the measuring server.
        core: where it may run.
        pinned: False lets it run on the others, too; libraries start a thread for each that they may use.
        max_calls: how many calls it must take.

    Raises:
        RuntimeError: it did not start; carries what it said.
    """
    pin = (sys.executable, "-m", "tests.bench.pinned", str(core)) if pinned else ()
    command = (*pin, sys.executable, "-m", *MODULES[name])
    async with (
        running_process(command, environment(live, max_calls)) as (url, pid),
        aiohttp.ClientSession() as http,
    ):
        yield Service(name, url, pid, core, http)


@asynccontextmanager
async def running_process(command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[tuple[str, int]]:
    """Run a program that logs where it serves; yield that address, and its process id.

    Raises:
        RuntimeError: it did not start; carries what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    said: deque[bytes] = deque(maxlen=40)
    assert process.stderr is not None
    try:
        url = await _ready(process.stderr, said)
        reading = asyncio.create_task(_drain(process.stderr, said))
        yield url, process.pid
        reading.cancel()
    except BaseException as error:
        error.add_note("The service's last words:\n" + b"".join(said).decode(errors="replace"))
        raise
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(stderr: asyncio.StreamReader, said: deque[bytes]) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            while line := await stderr.readline():
                said.append(line)
                if found := _READY.search(line):
                    return found[1].decode()
    raise RuntimeError("the service did not start:\n" + b"".join(said).decode(errors="replace"))


async def _drain(stderr: asyncio.StreamReader, said: deque[bytes]) -> None:
    """Read what the service says, so that it never waits for us; ends with it or by cancellation."""
    while line := await stderr.readline():
        said.append(line)


def environment(live: Reachable, max_calls: int) -> dict[str, str]:
    return clean_environment() | {
        "GOOGLE_API_KEY": "bench",
        "GOOGLE_GEMINI_BASE_URL": live.url,
        "SSL_CERT_FILE": str(live.ca_file),
        "TALKSPURT_MAX_CALLS": str(max_calls),
        "TALKSPURT_DRAIN_TIMEOUT_S": "0.1",
        "TALKSPURT_OVERLOAD_LAG_MS": "10000",  # to be measured, not refused
        "OPENBLAS_NUM_THREADS": "1",
    }


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings, keys and proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name.lower() not in _PROXIES
    }
