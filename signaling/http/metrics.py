"""Prometheus metrics: calls, media counters, and the lag of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agent.clock import monotonic
from agent.media import opus
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.record.recorder import STATES
from signaling.http.connections import Connections
from signaling.http.timings import Timings
from signaling.process.logs import StrangersErrors, lines_dropped
from signaling.webrtc.calls import Calls

_LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Metrics:
    """The metrics registry of one service; nothing is global."""

    def __init__(self, calls: Calls, connections: Connections, strangers_errors: StrangersErrors) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_CallsCollector(calls))
        self._registry.register(_DoorCollector(connections, strangers_errors))
        lag = Histogram(
            "talkspurt_loop_lag_seconds",
            "How late the event loop ran a timer.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )
        self.note_lag = lag.observe
        "Call this with the lag of the event loop in seconds."
        calls.watchers.append(Timings(self._registry).watch)

    def routes(self) -> list[web.RouteDef]:
        """Return the route that serves the metrics."""

        async def metrics(request: web.Request) -> web.Response:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
            return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

        return [web.get("/metrics", metrics)]


class _DoorCollector(Collector):
    """Collects what was refused or dropped at the HTTP and UDP ports, and lost log lines."""

    def __init__(self, connections: Connections, strangers_errors: StrangersErrors) -> None:
        self._connections = connections
        self._strangers_errors = strangers_errors

    def collect(self) -> Iterator[Metric]:
        dropped = CounterMetricFamily(
            "talkspurt_datagrams_dropped", "Datagrams that reached no call, by kind.", labels=["kind"]
        )
        for kind, count in tap_ice.dropped.items():
            dropped.add_metric([kind], count)
        yield dropped
        closed = CounterMetricFamily(
            "talkspurt_http_connections_closed",
            "HTTP connections closed because there were too many.",
            labels=["kind"],
        )
        closed.add_metric(["idle"], self._connections.closed_for_room)
        closed.add_metric(["refused"], self._connections.refused)
        yield closed
        errors = CounterMetricFamily("talkspurt_http_errors", "Requests that could not be read.", labels=["kind"])
        for kind, count in self._strangers_errors.counts.items():
            errors.add_metric([kind], count)
        yield errors
        yield CounterMetricFamily(
            "talkspurt_log_lines_dropped", "Log lines dropped because nobody read them.", lines_dropped()
        )


class _CallsCollector(Collector):
    """Reads the calls' own counters when metrics are requested; costs nothing otherwise."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("talkspurt_calls", "Running calls.", len(self._calls))
        yield GaugeMetricFamily(
            "talkspurt_pending_calls", "Calls that are not connected yet.", self._calls.admission.pending
        )
        yield GaugeMetricFamily("talkspurt_tasks", "Tasks in the event loop.", len(asyncio.all_tasks()))
        yield GaugeMetricFamily(
            "talkspurt_media_tap", "1 if packets are taken before aiortc's jitter buffer.", tap.why_not() is None
        )
        yield GaugeMetricFamily(
            "talkspurt_media_guard", "1 if datagrams from strangers are dropped.", tap_ice.why_not() is None
        )
        yield GaugeMetricFamily("talkspurt_media_libopus", "1 if the system's libopus is in use.", opus.available())
        yield GaugeMetricFamily(
            "talkspurt_overloaded",
            "1 while calls are refused because the agents' voices are, or would be, late.",
            self._calls.admission.overload.active,
        )
        yield CounterMetricFamily("talkspurt_calls_started", "Accepted calls.", self._calls.started)
        ended = CounterMetricFamily("talkspurt_calls_ended", "Ended calls, by reason.", labels=["reason"])
        for reason, count in self._calls.ended.items():
            ended.add_metric([reason], count)
        yield ended
        refused = CounterMetricFamily(
            "talkspurt_offers_refused", "Offers answered 503, by reason.", labels=["reason"]
        )
        for reason, count in self._calls.admission.refused.items():
            refused.add_metric([reason], count)
        yield refused
        yield CounterMetricFamily(
            "talkspurt_calls_given_up",
            "Calls that were ended before they connected, to make room for others.",
            self._calls.admission.made_room,
        )
        ignored = CounterMetricFamily(
            "talkspurt_candidates_ignored",
            "Callers' ICE candidates to which no checks were sent, by reason.",
            labels=["reason"],
        )
        for reason, count in self._calls.candidates_ignored.items():
            ignored.add_metric([reason], count)
        yield ignored
        happened = CounterMetricFamily(
            "talkspurt_events", "Events in calls, by event and kind.", labels=["event", "kind"]
        )
        for named, count in self._calls.events.items():
            happened.add_metric(list(named), count)
        yield happened
        summaries = CounterMetricFamily(
            "talkspurt_summaries",
            "Calls that were summed up after their end, by state and reason.",
            labels=["state", "reason"],
        )
        for named, count in self._calls.summaries.states.items():
            summaries.add_metric(list(named), count)
        yield summaries
        yield from self._money()
        yield from self._budgets()
        yield from self._recordings()
        for name, value in asdict(self._calls.stats()).items():
            name = f"{name.removesuffix('_s')}_seconds" if name.endswith("_s") else name
            yield CounterMetricFamily(f"talkspurt_{name}", f"Over all calls: {name.replace('_', ' ')}.", value)

    def _recordings(self) -> Iterator[Metric]:
        recorder = self._calls.recorder
        recordings = CounterMetricFamily(
            "talkspurt_recordings", "Recordings, by what became of them.", labels=["state"]
        )
        for state in STATES:
            recordings.add_metric([state], recorder.counts[state])
        yield recordings
        yield GaugeMetricFamily(
            "talkspurt_recorder_queue_packets", "Packets that are not written yet.", len(recorder.queue)
        )
        yield CounterMetricFamily(
            "talkspurt_recorder_lost_seconds", "Speech that recordings lack, both sides.", recorder.lost_s
        )

    def _budgets(self) -> Iterator[Metric]:
        now, budgets = monotonic(), self._calls.admission.budgets
        refused = CounterMetricFamily(
            "talkspurt_budget_refusals", "Calls refused because a daily limit is used up.", labels=["limit"]
        )
        for limit, count in budgets.refused.items():
            refused.add_metric([limit], count)
        yield refused
        cost = GaugeMetricFamily(
            "talkspurt_daily_cost_usd", "US dollars spent in the last 24 hours, by account.", labels=["account"]
        )
        minutes = GaugeMetricFamily(
            "talkspurt_daily_minutes", "Minutes of calls in the last 24 hours, by account.", labels=["account"]
        )
        for name, account in budgets.accounts.items():
            cost.add_metric([name], account.usd(now))
            minutes.add_metric([name], account.used_minutes(now))
        yield from (cost, minutes)

    def _money(self) -> Iterator[Metric]:
        spent = self._calls.spent()
        tokens = CounterMetricFamily(
            "talkspurt_tokens", "Tokens billed by the Live server.", labels=["direction", "modality"]
        )
        for (direction, modality), count in sorted(spent.tokens.items()):
            tokens.add_metric([direction, modality], count)
        yield tokens
        cost_usd = spent.usd or 0.0
        yield CounterMetricFamily("talkspurt_cost_usd", "Their cost in US dollars by the price list.", cost_usd)
