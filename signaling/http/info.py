"""What `GET` tells about a call while it runs. See docs/calls.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent.call.quality import Score
from agent.media.playout import VOICE_RATE_HZ
from signaling.webrtc.leg import Leg

CALLS_PATH = "/v1/realtime/calls"
"""The address of a call is this and its id."""

STATS = (
    "inbound_packets",
    "inbound_lost_packets",
    "inbound_audio_s",
    "inbound_concealed_s",
    "outbound_packets",
    "outbound_late_packets",
    "heard_s",
    "dropped_s",
    "video_pictures",
    "uplink_dropped_s",
    "left_unanswered",
)
"""The call's counters that say how well it goes; the others are in the metrics."""


def call_state(leg: Leg) -> dict[str, Any]:
    """Describe a call in short: its connection, and the keys that were pressed."""
    state = {"id": leg.call.call_id, **leg.describe()}
    if leg.call.hearing.keypad.pressed:
        state["dtmf"] = leg.call.hearing.keypad.pressed
    return state


def call_info(leg: Leg) -> dict[str, Any]:
    """Describe a call; no word of what was said."""
    call, stats = leg.call, leg.stats()
    return {
        **call_state(leg),
        "state": call.state,
        "duration_s": round(call.duration_s, 3),
        "model": call.model,
        "tools": call.tools.names,
        "turns": call.transcript.count,
        "sessions": call.live.sessions,
        "responses": call.response.count,
        "response_ms": None if call.response.last_s is None else round(call.response.last_s * 1000),
        "response_stages": None if call.timeline.last_stages is None else asdict(call.timeline.last_stages),
        "set_up_stages": asdict(call.timeline.set_up()),
        "trace_id": call.trace.trace_id,
        "session_id": call.live.session_id,
        "tool_calls": call.counts.tool_calls,
        "tool_errors": call.counts.tool_errors,
        "interruptions": call.counts.interruptions,
        "pictures": call.drawn.count,
        "queued_s": round(call.playout.queued_samples / VOICE_RATE_HZ, 3),
        "stats": {name: round(getattr(stats, name), 3) for name in STATS},
        "quality": {"in": _score(call.quality.heard), "out": _score(call.quality.sent)},
        "usage": _usage(leg),
        "recording": None if call.recording is None else call.recording.state,
    }


def _score(score: Score) -> dict[str, float] | None:
    if score.mean is None or score.worst is None:
        return None
    return {"mos_mean": round(score.mean, 2), "mos_worst": round(score.worst, 2)}


def _usage(leg: Leg) -> dict[str, Any]:
    spent = leg.call.meter.total()
    return {"tokens": spent.by_direction(), "cost_usd": spent.usd}
