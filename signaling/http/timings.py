"""Histograms of how long things take in calls, and how well callers and agent hear each other."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Histogram

from agent import events
from agent.call.call import Call
from signaling.webrtc.leg import Leg

RESPONSE_BUCKETS_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
SET_UP_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 15.0)
FLUSH_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
TOOL_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
MOS_BUCKETS = (1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5)
CALL_BUCKETS_S = (5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
MAX_TOOL_NAMES = 64
OTHER_TOOLS = "other"


class Timings:
    """The histograms of one service.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"talkspurt_{name}", text, labels, buckets=buckets, registry=registry)

        self._response = histogram(
            "response_seconds",
            "Time from the end of what a caller said or typed to the first audible sample of the answer.",
            RESPONSE_BUCKETS_S,
        )
        self._stage = histogram(
            "response_stage_seconds", "The stages of that time, by stage.", RESPONSE_BUCKETS_S, "stage"
        )
        self._set_up = histogram(
            "call_setup_seconds",
            "The stages of the time from an offer until the agent is heard, by stage.",
            SET_UP_BUCKETS_S,
            "stage",
        )
        self._flush = histogram(
            "flush_seconds",
            "Time from an interruption until the last packet of the agent's speech was sent.",
            FLUSH_BUCKETS_S,
        )
        self._tool = histogram("tool_seconds", "How long tools took, by tool.", TOOL_BUCKETS_S, "tool")
        self._call = histogram("call_seconds", "How long calls lasted.", CALL_BUCKETS_S)
        self._mos = histogram(
            "mos",
            "Estimated mean opinion scores of ten seconds each, by direction as the service sees it.",
            MOS_BUCKETS,
            "direction",
        )
        self._tool_names: set[str] = set()

    def watch(self, leg: Leg) -> None:
        """Take note of what a call takes."""
        call = leg.call
        exemplar = {"trace_id": call.trace.trace_id}  # not the call's id: that is all that it takes to end the call
        call.observe(partial(self._note, call, exemplar))

    def _note(self, call: Call, exemplar: dict[str, str], event: events.Event) -> None:
        match event:
            case events.CallSetUp(stages):
                for stage in ("answer", "media", "agent"):
                    self._observe_set_up(stage, getattr(stages, f"{stage}_ms"), exemplar)
            case events.AgentFirstHeard(after_ms):
                self._observe_set_up("first_audio", after_ms, exemplar)
            case events.AgentResponded(response_ms=response_ms, stages=stages):
                self._response.observe(response_ms / 1000, exemplar)
                if stages is not None:
                    for stage in ("uplink", "model", "tools", "voice", "downlink"):
                        took_ms: float = getattr(stages, f"{stage}_ms")
                        self._stage.labels(stage).observe(took_ms / 1000, exemplar)
            case events.VoiceFlushed(flush_ms):
                self._flush.observe(flush_ms / 1000, exemplar)
            case events.ToolFinished(call_id, name):
                took_s = call.timeline.tool_s(call_id)
                if took_s is not None:
                    self._tool.labels(self._tool_label(call, name)).observe(took_s, exemplar)
            case events.QualityEstimated(mos_in, mos_out):
                for direction, score in (("in", mos_in), ("out", mos_out)):
                    if score is not None:
                        self._mos.labels(direction).observe(score, exemplar)
            case events.CallEnded():
                self._call.observe(call.duration_s, exemplar)

    def _observe_set_up(self, stage: str, took_ms: float | None, exemplar: dict[str, str]) -> None:
        if took_ms is not None:
            self._set_up.labels(stage).observe(took_ms / 1000, exemplar)

    def _tool_label(self, call: Call, name: str) -> str:
        """Return a tool's name if it may be shown: models make names up, and agents may have tools without end."""
        if name not in call.tools.names:
            return OTHER_TOOLS
        if name not in self._tool_names:
            if len(self._tool_names) >= MAX_TOOL_NAMES:
                return OTHER_TOOLS
            self._tool_names.add(name)
        return name
