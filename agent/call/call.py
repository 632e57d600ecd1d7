"""One call: the caller's voice to the model, the model's voice to the caller, and what happened in between.

This file runs the parts of a call and carries out what follows from what they say:

    hearing       what the caller says, marks, types     sight      what the caller shows
    speaking      the agent's voice                      briefing   notes to the model
    conversation  what all of that means (pure)          greeting   who begins
    sessions      the Live sessions, who the agent is    farewell   whether the last words were heard
    tools         the tool calls                         limits     what the call may cost, how long it may last

Tasks, all owned by `Call.run`, which ends them: the Live sessions, the listener on the caller's track, one watcher
per camera and screen, and one each for the greeting, the limits, the goodbye, silence and the agent's hanging up.
Tool calls have tasks of their own (`agent.call.tool_calls`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from agent import events
from agent.call.captured import capture_call
from agent.call.host import NO_METADATA, ToolRates
from agent.call.kept import KeptCall
from agent.call.limits import NO_PURSE, CallLimits
from agent.call.observers import Observers
from agent.call.outcomes import AnswerCompleted, Flush, Outcomes, ReplaceSession, TellWaiting
from agent.call.ports import CallPorts
from agent.call.quality import Quality
from agent.call.routing import Routing
from agent.call.setup import AgentSetup
from agent.call.stats import CallCounts
from agent.call.stopwatch import Stopwatch
from agent.call.taping import Taping
from agent.call.trace import Trace
from agent.call.wiring import wired
from agent.capture import Capture
from agent.clock import Clock, monotonic, unix
from agent.dialog.budget import Meter
from agent.dialog.daily import Purse
from agent.dialog.prices import KNOWN, Prices, price_of
from agent.live import wire
from agent.live.session import LiveClient
from agent.live.uplink import Item
from agent.media.inbound import InboundAudio
from agent.record.recorder import Recording

logger = logging.getLogger(__name__)

FAILED = events.CallEnded("internal_error", "The service failed.", "agent")


class Call:
    """A caller and an agent, connected until one of them hangs up.

    Args:
        call_id: identifies the call in logs and URLs.
        client: the Live API's client.
        setup: how the agent is set up.
        caller: who is calling; None if unknown. Untrusted.
        metadata: what the application says about the caller.
        offline_demo: whether the Live server is the local emulator.
        phase_s: see `AgentVoiceTrack`.
        prices: what the model's tokens cost.
        hurried: tells whether the process is falling behind, see `Chunker`.
        kept: an earlier call that this one continues, without a greeting; None for a new call.
        purse: the daily accounts that the call is charged to, apart from its own budget.
        trace: the trace that the call belongs to; None starts a new one.
        recording: records both sides; None if the call is not recorded.
        clock: monotonic seconds.
        capture: records inputs and events for a replay; None if no capture was requested.
    """

    def __init__(
        self,
        call_id: str,
        *,
        client: LiveClient,
        setup: AgentSetup,
        caller: str | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
        offline_demo: bool = False,
        phase_s: float = 0.0,
        prices: Prices = KNOWN,
        hurried: Callable[[], bool] = lambda: False,
        kept: KeptCall | None = None,
        purse: Purse = NO_PURSE,
        trace: Trace | None = None,
        recording: Recording | None = None,
        clock: Clock = monotonic,
        capture: Capture | None = None,
    ) -> None:
        settings = setup.settings
        self.call_id, self.caller, self.metadata, self.model = call_id, caller, metadata, settings.model
        self.client_may_instruct = settings.client_may_instruct
        self.trace = Trace(secrets.token_hex(16)) if trace is None else trace
        self.purse = purse
        self.tool_rates = ToolRates()
        "Rate limits on the notes and events that its tools and hooks send in addition to results."
        self.counts = CallCounts()
        "Counts of tool calls, tool errors and interruptions."
        self.quality = Quality()
        "Estimates of how well caller and agent hear each other."
        self.meter = Meter(price_of(prices, settings.model), None if kept is None else kept.spent())
        "What the call has used and cost so far."
        self._clock, self._began = clock, clock()
        self._end: asyncio.Future[events.CallEnded] = asyncio.get_running_loop().create_future()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.observers = Observers(call_id)
        self._ports = CallPorts(call_id, clock, self._carry_out, self._send, self._start, self.hang_up, capture)
        parts = wired(
            self,
            self._ports,
            client,
            setup,
            kept=kept,
            phase_s=phase_s,
            hurried=hurried,
            offline_demo=offline_demo,
            unix_now=unix(),
            on_fact=self._route,
        )
        self.conversation, self.tools, self.briefing = parts.conversation, parts.tools, parts.briefing
        self.hearing, self.sight, self.speaking = parts.hearing, parts.sight, parts.speaking
        self.sessions, self.farewell, self._greeting = parts.sessions, parts.farewell, parts.greeting
        self.timeline, self.stopwatch = parts.timeline, Stopwatch(parts.timeline, clock)
        limits = CallLimits(self._ports, settings, self.meter, self.farewell, purse=purse)
        self._keep_limits = limits.keep
        self._routing = Routing(self._ports, parts, limits, wants_thoughts=settings.include_thoughts)

        # Callers, tools and the operator reach the parts directly, without forwarding methods here.
        self.observe = self.observers.observe
        self.voice, self.playout, self.drawn = self.speaking.voice, self.speaking.playout, self.speaking.drawn
        self.transcript, self.response = self.conversation.transcript, self.conversation.response
        self.spoken, self.caller_turns = self.conversation.spoken, self.conversation.caller_turns
        self.live, self.end_call, self.videos = self.sessions.link, self.farewell.end_call, self.sight.videos
        self.hear, self.type_text, self.press = self.hearing.hear, self.hearing.type_text, self.hearing.press
        self.start_activity, self.end_activity = self.hearing.start_activity, self.hearing.end_activity
        self.interrupt, self.see, self.picture = self.hearing.interrupt, self.sight.see, self.sight.jpeg
        self.say, self.add_to_context = self.briefing.say, self.briefing.add_to_context
        self.change_agent, self.send_event = self.sessions.change_agent, self.speaking.send_event
        self.taping, self.recording = Taping(self._ports, self.voice, recording), recording
        self.pause_recording, self.resume_recording = self.taping.pause, self.taping.resume
        self.capture = capture
        if capture is not None:
            capture_call(self, capture)
        for part in (self.stopwatch, limits, self.counts, self.farewell, self._greeting):
            self.observe(part.note)

    @property
    def ready(self) -> events.AgentReady | None:
        """The event that described the first Live session; None until it is set up."""
        return self.sessions.ready

    @property
    def ended(self) -> events.CallEnded | None:
        """How the call ended; None until it is over."""
        return self.observers.ended

    @property
    def duration_s(self) -> float:
        """How long the call has lasted."""
        return self._clock() - self._began

    @property
    def state(self) -> events.AgentState:
        """What the agent is doing."""
        return self.conversation.state

    @property
    def caller_spoke_at(self) -> float:
        """When the caller last began to speak or typed something, by the call's clock."""
        return self.conversation.caller_spoke_at

    def keep(self) -> KeptCall:
        """Return what another call needs to continue from here: `Call(kept=...)`."""
        return KeptCall.of(
            model=self.model,
            turns=[turn.said for turn in self.transcript.in_order()],
            instructions=self.sessions.new_instructions,
            open_tools=self.tools.running,
            spent=self.meter.total(),
            handle=self.live.handle,
            now=unix(),
        )

    async def run(self, audio: InboundAudio | None, path: asyncio.Event | None = None) -> events.CallEnded:
        """Run the call until somebody ends it.

        Args:
            audio: passes the caller's voice to `hear`; None if the caller only listens.
            path: set once the caller is known to be reachable; no Live session is opened before. None if the caller
                is reachable from the start.

        Returns:
            How it ended; the observers have been told by then.
        """
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start(partial(self.sessions.hold, path), "live")
                self._start(self.sessions.watch_silence, "silence")
                self._start(self._keep_limits, "limits")
                self._start(self._greeting.run, "greeting")
                self.hear_and_see(audio)
                ended = await self._end
                for task in self._tasks:
                    task.cancel()
        except BaseException:
            self._carry_out([*self.conversation.end(), FAILED])
            raise
        finally:
            self.voice.end()
            await self.tools.end()
            await self.taping.end()
        self._carry_out([*self.conversation.end(), ended])
        return ended

    def hang_up(self, reason: str, detail: str, fault: events.Fault) -> None:
        """End the call; the first reason counts. See `events.CallEnded`."""
        if not self._end.done():
            self._end.set_result(events.CallEnded(reason, detail, fault))

    def hear_and_see(self, audio: InboundAudio | None) -> None:
        """Hear the caller by this audio from now on, and watch `videos`; no longer what came before."""
        for task in self._tasks:
            if task.get_name().startswith("call-media-"):
                task.cancel()
        for video in self.videos:
            self._start(video.watch, f"media-{video.name}")
        if audio is not None:
            self._start(partial(self.hearing.listen, audio), "media-listen")

    def media_flows(self) -> None:
        """Note that the caller can hear the agent from now on."""
        self._greeting.media_flows()
        self._carry_out(self.stopwatch.media_flows())

    def let_go(self) -> None:
        """Break the reference cycles between the call and its parts, so that it is freed with the last reference.

        Call this once the call is over or will never run; no observer is told anything afterwards.
        """
        if self.capture is not None:
            self.capture.end()
        self._ports.let_go()
        self.observers.let_go()
        self.videos.clear()
        for part in (self.voice, self.hearing, self.live, self.tools, self.taping):
            part.let_go()

    def _carry_out(self, outcomes: Outcomes) -> None:
        """Tell the observers what happened and carry out the actions, in order."""
        for outcome in outcomes:
            match outcome:
                case Flush(generation):
                    self.speaking.flush(generation)
                case TellWaiting(nudge):
                    self.sessions.nudge(nudge)
                case ReplaceSession(rebuild, nudge):
                    self.live.replace(rebuild=rebuild, nudge=nudge)
                case AnswerCompleted():
                    self.live.answer_completed()
                case events.AgentReady() | events.AgentStartedSpeaking():
                    self.observers.tell(outcome)
                    self._carry_out(self.stopwatch.news(outcome))
                case events.AgentFellSilent(cause, step):
                    logger.warning("call %s: the agent is silent (%s), next: %s", self.call_id, cause, step)
                    self.observers.tell(outcome)
                case _:
                    self.observers.tell(outcome)
        self._settle()

    def _route(self, fact: wire.Fact) -> None:
        self._routing.route(fact)
        self._settle()

    def _settle(self) -> None:
        """Update the voice and the observers to the conversation's state."""
        self.voice.generating = self.conversation.more_to_come
        if not self._end.done():
            self.observers.tell_state(self.conversation.state)

    def _send(self, item: Item) -> None:
        self.sessions.send(item)
        self._settle()

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        if self._group is None or self._end.done():
            return
        task = self._group.create_task(work(), name=f"call-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
