"""What the service says of itself at /metrics, once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from agent.clock import monotonic

INTERVAL_S = 1.0
TIMEOUT_S = 5.0
MAX_BYTES = 4 << 20
_LAG = "talkspurt_loop_lag_seconds_bucket"
WANTED = {
    "process_cpu_seconds_total": "cpu_s",
    "process_resident_memory_bytes": "memory_bytes",
    "talkspurt_calls": "calls",
    "talkspurt_pending_calls": "pending",
    "talkspurt_calls_started_total": "admitted",
    "talkspurt_offers_refused_total": "refused",
    "talkspurt_overloaded": "overloaded",
    "talkspurt_outbound_packets_total": "sent_packets",
    "talkspurt_outbound_late_packets_total": "late_packets",
}


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading.

    Attributes:
        at: monotonic seconds.
        values: by the names of `WANTED`; those with labels are added up.
        lag: the loop-lag histogram: how many timers were at most so many seconds late.
    """

    at: float
    values: dict[str, float]
    lag: dict[float, float]


def read_metrics(text: str, at: float) -> Scrape:
    """Return what is wanted of the metrics in Prometheus's text format.

    Raises:
        ValueError: it is not that format.
    """
    values: dict[str, float] = {}
    lag: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = WANTED.get(sample.name)
            if name is not None:
                values[name] = values.get(name, 0.0) + sample.value
            elif sample.name == _LAG:
                lag[float(sample.labels["le"])] = sample.value
    return Scrape(at, values, lag)


def lag_percentile_ms(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float | None:
    """Return the upper bound of the bucket in which that percentile of the loop lag between two readings lies."""
    counts = {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
    total = max(counts.values(), default=0.0)
    if total <= 0:
        return None
    bound = min(bound for bound, below in counts.items() if below >= share * total)
    return None if bound == float("inf") else 1e3 * bound


@dataclass(slots=True)
class Scraper:
    """Reads a service's metrics; see `run`.

    Attributes:
        url: the service's address.
        key: its server key, if it wants one.
        scrapes: what was read.
        trouble: why the newest reading failed; empty if it did not.
    """

    url: str
    key: str | None
    scrapes: list[Scrape] = field(default_factory=list)
    trouble: str = ""

    async def run(self) -> None:
        """Read once a second, until cancelled."""
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        timeout = aiohttp.ClientTimeout(TIMEOUT_S)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            while True:
                await self._read(http)
                await asyncio.sleep(INTERVAL_S)

    async def _read(self, http: aiohttp.ClientSession) -> None:
        try:
            async with http.get(urljoin(self.url, "/metrics"), headers={"Accept": "text/plain"}) as response:
                if response.status != 200:
                    self.trouble = f"/metrics answered {response.status}"
                    return
                text = (await response.content.read(MAX_BYTES)).decode(errors="replace")
            self.scrapes.append(read_metrics(text, monotonic()))
            self.trouble = ""
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.trouble = f"/metrics cannot be read: {type(error).__name__}"
