"""The parts of a call and how they are connected.

A part receives the other parts that it needs in its constructor, and reaches the call only through `CallPorts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent import events
from agent.call.briefing import Briefing
from agent.call.conversation import Conversation
from agent.call.farewell import Farewell
from agent.call.greeting import Greeting
from agent.call.hearing import Hearing
from agent.call.host import Host
from agent.call.kept import KeptCall
from agent.call.ports import CallPorts
from agent.call.sessions import Sessions
from agent.call.setup import AgentSetup
from agent.call.sight import Sight
from agent.call.speaking import Speaking
from agent.call.timeline import Timeline
from agent.call.tool_calls import ToolCalls
from agent.live import wire
from agent.live.models import rules_of
from agent.live.session import LiveClient
from agent.live.uplink import Note, ToolResult, Uplink
from agent.media.playout import Playout


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one call; see `agent.call.call`."""

    conversation: Conversation
    tools: ToolCalls
    sight: Sight
    speaking: Speaking
    hearing: Hearing
    briefing: Briefing
    greeting: Greeting
    farewell: Farewell
    sessions: Sessions
    timeline: Timeline


def wired(
    host: Host,
    ports: CallPorts,
    client: LiveClient,
    setup: AgentSetup,
    *,
    kept: KeptCall | None,
    phase_s: float,
    hurried: Callable[[], bool],
    offline_demo: bool,
    unix_now: float,
    on_fact: Callable[[wire.Fact], None],
) -> Parts:
    """Make the parts of a call.

    Args:
        host: the call, as its tools see it.
        ports: the way back to the call.
        client: the Live API's client.
        setup: how the agent is set up.
        kept: an earlier call that this one continues; None for a new call.
        phase_s: see `AgentVoiceTrack`.
        hurried: tells whether the process is falling behind.
        offline_demo: whether the Live server is the local emulator.
        unix_now: the current Unix time in seconds.
        on_fact: takes each fact from the Live server, in order.
    """
    settings, rules = setup.settings, rules_of(setup.settings.model)
    uplink, playout = Uplink(), Playout()
    timeline = Timeline(ports.clock(), unix_now, uplink.question_sent_at)

    def tell_of_tool(item: ToolResult | Note, awaited: bool | None) -> None:
        briefing.tell_of_tool(item, awaited)

    def tool_moved(event: events.Event) -> None:
        if isinstance(event, events.ToolCalled | events.ToolFinished):
            conversation.tool_moved(event, ports.clock())
        if isinstance(event, events.ToolCalled):
            briefing.tool_called()
        ports.act([event])

    tools = ToolCalls(
        setup.tools,
        host,
        tell=tell_of_tool,
        emit=tool_moved,
        report=events.ToolReport(settings.tool_reports, frozenset(settings.tool_masked_fields)),
        transcribed=settings.input_transcription,
        clock=ports.clock,
        scheduled=rules.scheduling,
    )
    conversation = Conversation(setup, playout, tools, timeline, () if kept is None else kept.turns)
    sight = Sight(uplink, clock=ports.clock)
    hearing = Hearing(ports, setup, conversation, uplink, sight, timeline, hurried=hurried)
    briefing = Briefing(ports, conversation, tools, awaits_tools=not rules.non_blocking_default)
    sessions = Sessions(
        ports,
        client,
        setup,
        conversation,
        hearing,
        sight,
        tools,
        briefing,
        uplink,
        timeline,
        kept=kept,
        offline_demo=offline_demo,
        on_fact=on_fact,
    )
    return Parts(
        conversation,
        tools,
        sight,
        Speaking(ports, conversation, playout, timeline, phase_s=phase_s),
        hearing,
        briefing,
        Greeting(setup, conversation, briefing, kept),
        Farewell(ports, playout, writes=not settings.audio_output),
        sessions,
        timeline,
    )
