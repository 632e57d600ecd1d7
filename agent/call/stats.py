"""Counters of calls, added up for the operator. Pure except for `watch_loop`.

The media path keeps plain integers of its own; they are gathered here only on request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from agent import events
from agent.media.chunker import UPLINK_RATE_HZ
from agent.media.inbound import InboundAudio
from agent.media.playout import VOICE_RATE_HZ
from agent.media.track import AgentVoiceTrack
from agent.media.video import InboundVideo

LAG_STEP_S = 0.1


@dataclass(slots=True)
class CallStats:
    """Totals of one call or many. Audio seconds are counted at 16 kHz for the caller, at 24 kHz for the agent."""

    inbound_packets: int = 0
    inbound_bytes: int = 0
    inbound_lost_packets: int = 0
    inbound_late_packets: int = 0
    inbound_reordered_packets: int = 0
    inbound_unreadable_packets: int = 0
    inbound_surplus_packets: int = 0
    inbound_audio_s: float = 0.0
    inbound_concealed_s: float = 0.0
    inbound_filled_s: float = 0.0
    outbound_packets: int = 0
    outbound_bytes: int = 0
    outbound_late_packets: int = 0
    outbound_skipped_slots: int = 0
    heard_s: float = 0.0
    dropped_s: float = 0.0
    video_packets: int = 0
    video_bytes: int = 0
    video_key_frames: int = 0
    video_key_frame_requests: int = 0
    video_pictures: int = 0
    video_unchanged: int = 0
    video_replaced: int = 0
    video_unreadable: int = 0
    uplink_dropped_s: float = 0.0
    uplink_replaced_pictures: int = 0
    sessions: int = 0
    outage_s: float = 0.0
    replayed_s: float = 0.0
    unreadable_messages: int = 0
    messages_shortened: int = 0
    messages_dropped: int = 0
    messages_failed: int = 0
    messages_refused: int = 0
    keys_dropped: int = 0
    observer_errors: int = 0
    hook_errors: int = 0
    hook_events_dropped: int = 0
    left_unanswered: int = 0

    def add(self, other: CallStats) -> None:
        """Add the counters of another to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class CallCounts:
    """Counts of what happened in one call."""

    tool_calls: int = 0
    tool_errors: int = 0
    "The tool calls that ended with an error or at their deadline."
    interruptions: int = 0
    "How often what the agent said was cut off."

    def note(self, event: events.Event) -> None:
        """Count an event."""
        match event:
            case events.ToolCalled():
                self.tool_calls += 1
            case events.ToolFinished(outcome="error" | "timeout"):
                self.tool_errors += 1
            case events.AgentInterrupted():
                self.interruptions += 1


def media_stats(audio: InboundAudio | None, voice: AgentVoiceTrack, videos: Sequence[InboundVideo]) -> CallStats:
    """Read the counters of a call's media."""
    stats = CallStats(
        outbound_packets=voice.stats.frames,
        outbound_bytes=voice.stats.payload_bytes,
        outbound_late_packets=voice.stats.late_frames,
        outbound_skipped_slots=voice.stats.skipped_slots,
        heard_s=voice.playout.total_heard_samples / VOICE_RATE_HZ,
        dropped_s=voice.playout.total_dropped_samples / VOICE_RATE_HZ,
    )
    if audio is not None:
        packets, samples = audio.packets(), audio.stats
        stats.inbound_packets = packets.received
        stats.inbound_bytes = samples.payload_bytes
        stats.inbound_lost_packets = packets.lost
        stats.inbound_late_packets = packets.late
        stats.inbound_reordered_packets = packets.reordered
        stats.inbound_surplus_packets = packets.surplus
        stats.inbound_unreadable_packets = samples.unreadable
        stats.inbound_audio_s = samples.samples / UPLINK_RATE_HZ
        stats.inbound_concealed_s = samples.concealed_samples / UPLINK_RATE_HZ
        stats.inbound_filled_s = samples.filled_samples / UPLINK_RATE_HZ
    for video in videos:
        seen = video.stats
        stats.video_packets += seen.packets
        stats.video_bytes += seen.payload_bytes
        stats.video_key_frames += seen.key_frames
        stats.video_key_frame_requests += seen.requests
        stats.video_pictures += seen.pictures
        stats.video_unchanged += seen.unchanged
        stats.video_replaced += seen.replaced
        stats.video_unreadable += seen.unreadable
    return stats


def notable(event: events.Event) -> tuple[str, str] | None:
    """Return an event's name and its kind, or None for an event that is not counted."""
    match event:
        case events.AgentFellSilent(step=step):
            return "agent_fell_silent", step
        case events.ToolFinished(outcome=outcome):
            return "tool_finished", outcome
        case events.SessionReplaced(resumed=resumed):
            return "session_replaced", "resumed" if resumed else "rebuilt"
        case events.SessionLost(fault=fault):
            return "session_lost", fault
        case events.SessionEnding():
            return "session_ending", ""
        case events.ContextRebuilt():
            return "context_rebuilt", ""
        case events.ContextLost():
            return "context_lost", ""
        case events.InputRefused(what=what):
            return "input_refused", what
        case events.AgentInterrupted():
            return "agent_interrupted", ""
        case events.TurnCompleted():
            return "turn_completed", ""
        case events.LimitNear(kind=kind):
            return "limit_near", kind
        case _:
            return None


async def watch_loop(on_lag: Callable[[float], None]) -> None:
    """Report ten times a second how many seconds late the event loop was, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_STEP_S
        await asyncio.sleep(LAG_STEP_S)
        on_lag(max(0.0, loop.time() - due))
