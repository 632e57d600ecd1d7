"""The Live sessions of a call: what happens when one is set up, ends or is replaced, and changes of the agent.

How a session is set up and resumed, and when it is left, is decided in `agent.live`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from agent import events
from agent.call.briefing import Briefing
from agent.call.conversation import Conversation
from agent.call.hearing import Hearing
from agent.call.kept import KeptCall
from agent.call.ports import CallPorts
from agent.call.setup import AgentSetup
from agent.call.sight import Sight
from agent.call.timeline import Timeline
from agent.call.tool_calls import ToolCalls
from agent.clock import unix
from agent.errors import LiveError, LiveRefused
from agent.live import wire
from agent.live.link import LiveLink
from agent.live.ports import LinkPorts
from agent.live.session import LiveClient, Opening
from agent.live.uplink import AgentChange, Item, ToolResult, Uplink
from agent.picture import Shown
from agent.spoken import Spoken
from agent.tools.declare import Tool

logger = logging.getLogger(__name__)

WATCH_STEP_S = 0.5


class Sessions:
    """The sessions of one call.

    Args:
        ports: the way back to the call.
        client: the Live API's client.
        setup: how the agent is set up.
        conversation: the state of the conversation.
        hearing: sends silence in longer chunks while a session is about to be left.
        sight: sends a new session what the caller shows.
        tools: tell a new session the results that it does not know.
        briefing: tells the model the notes that waited for a turn that will never be completed.
        uplink: the queue to the model.
        timeline: records when the first session begins to connect.
        kept: an earlier call that this one continues; None for a new call.
        offline_demo: whether the Live server is the local emulator.
        on_fact: takes each fact from the server, in order.
    """

    def __init__(
        self,
        ports: CallPorts,
        client: LiveClient,
        setup: AgentSetup,
        conversation: Conversation,
        hearing: Hearing,
        sight: Sight,
        tools: ToolCalls,
        briefing: Briefing,
        uplink: Uplink,
        timeline: Timeline,
        *,
        kept: KeptCall | None,
        offline_demo: bool,
        on_fact: Callable[[wire.Fact], None],
    ) -> None:
        self.ready: events.AgentReady | None = None
        "Describes the first session; None until it is set up."
        self._ports = ports
        self._own = setup.changed(tools=())  # without the tools, which may refer to the call
        self._conversation = conversation
        self._hearing = hearing
        self._sight = sight
        self._tools = tools
        self._briefing = briefing
        self._timeline = timeline
        self._offline_demo = offline_demo
        self.link = LiveLink(
            client,
            setup.changed(None if kept is None else kept.instructions).session(),
            LinkPorts(
                on_ready=self._ready,
                on_fact=on_fact,
                on_picture=self._picture_sent,
                on_ending=self._ending,
                on_ended=self._ended,
                on_replaced=self._replaced,
                on_forgotten=lambda: self._ports.act([events.ContextLost()]),
                history=lambda complete_only: self._history(complete_only=complete_only),
                is_quiet=lambda: self._conversation.quiet,
                on_refused=self._refused,
            ),
            uplink=uplink,
            clock=ports.clock,
            rng=random.Random(ports.call_id),  # noqa: S311  jitter between attempts
            opening=self._opening(kept),
            confirmed=setup.session(),
            capture=ports.capture,
        )

    @property
    def new_instructions(self) -> str | None:
        """The agent's instructions if they were changed during the call; None if they were not."""
        instructions = self.link.setup.instructions
        return None if instructions == self._own.instructions else instructions

    async def hold(self, path: asyncio.Event | None) -> None:
        """Keep a session open as long as the call lasts; end the call if that is not possible.

        Args:
            path: set once the caller is known to be reachable; no session is opened before. None not to wait.
        """
        if path is not None:
            await path.wait()
        self._timeline.reach("live_connecting", self._ports.clock())
        try:
            await self.link.run()
        except LiveError as error:
            self._lose(error)

    async def watch_silence(self) -> None:
        """Act on a model that does not answer; runs as long as the call."""
        pulse = self.link.pulse
        while True:
            await asyncio.sleep(WATCH_STEP_S)
            self._conversation.life_came(pulse.felt_at, pulse.slowest_pong_s)
            self._ports.act(self._conversation.tick(self._ports.clock()))
            self._briefing.tell_waiting()

    def send(self, item: Item) -> None:
        """Queue something for the model; the call ends if the server has stopped reading."""
        self._attempt(partial(self.link.uplink.put, item))

    def nudge(self, text: str) -> None:
        """Tell the model that the caller is waiting; fails as `send` does."""
        self._attempt(partial(self.link.nudge, text))

    def change_agent(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Change the agent from now on, in this session if the model supports that, otherwise in a new one.

        Args:
            instructions: its new instructions; None leaves them unchanged.
            tools: the tools that replace all its former ones; None leaves them unchanged.
        """
        agent = self.agent.changed(instructions, tools)
        self._tools.replace(agent.tools)
        setup = agent.session()
        change = AgentChange(
            None if instructions is None else setup.instructions, None if tools is None else setup.declarations
        )
        self._attempt(partial(self.link.change_agent, setup, change))

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Change how the Live session is set up, such as the voice, by another session that takes over.

        It does so at once while nobody has said anything, and later at a quiet point.

        Args:
            changes: settings by name; how turns are marked (``vad`` off or not) cannot change within a call.
        """
        nothing_said = self._conversation.quiet and not self._conversation.transcript.count
        self.link.renew(self.agent.with_settings(changes).session(), at_once=nothing_said)

    @property
    def agent(self) -> AgentSetup:
        """The agent as it is, or as it will be once the server has accepted a pending change; the link knows."""
        agent: AgentSetup | None = self.link.setup.agent
        return agent or self._own  # the link forgets the agent when the call is over

    def _attempt(self, put: Callable[[], None]) -> None:
        try:
            put()
        except LiveError as error:
            self._lose(error)

    def _lose(self, error: LiveError) -> None:
        reason = "live_refused" if isinstance(error, LiveRefused) else "live_lost"
        self._ports.hang_up(reason, f"{error.detail[0].upper()}{error.detail[1:]}.", error.fault)

    def _ready(self) -> None:
        self._take_over()
        model, marked = self._own.settings.model, self._own.marks_turns
        self.ready = events.AgentReady(model, self._offline_demo, marked, self.link.session_id)
        self._ports.act([self.ready])

    def _ending(self, time_left_s: float) -> None:
        self._hearing.be_patient(patient=True)
        self._ports.act([events.SessionEnding(time_left_s)])

    def _ended(self, loss: LiveError | None, unsent: Sequence[ToolResult]) -> None:
        self._hearing.be_patient(patient=False)
        self._briefing.session_ended()
        if loss is not None:
            self._ports.act([events.SessionLost(loss.detail, loss.fault)])
        self._tools.session_replaced(unsent)
        self._ports.act(self._conversation.session_ended(self._ports.clock()))

    def _replaced(self, how: events.SessionReplaced, told_turns: int) -> None:
        self._take_over()
        self._sight.session_replaced()
        self._ports.act([how])
        if told_turns:
            self._ports.act([events.ContextRebuilt(told_turns)])
        elif not how.resumed and self._conversation.generation:
            self._ports.act([events.ContextLost()])

    def _take_over(self) -> None:
        """Note that a session, the first or a later one, is ready."""
        self._conversation.session_ready(self._ports.clock())
        logger.info("call %s: Live session %r", self._ports.call_id, self.link.session_id)

    def _refused(self, what: events.RefusedInput, reason: str) -> None:
        if what == "agent_change":
            self._tools.replace(self.agent.tools)
        self._ports.act([events.InputRefused(what, reason)])

    def _picture_sent(self, shown: Shown) -> None:
        picture = shown.picture
        self._ports.act([events.PictureSent(shown.source, picture.width, picture.height, len(picture.data))])

    def _opening(self, kept: KeptCall | None) -> Opening:
        """Return how the first session opens: from the earlier call's handle, else with the history."""
        handle = None if kept is None else kept.fresh_handle(self._own.settings.model, unix())
        return Opening(handle) if handle is not None else Opening(history=self._history(complete_only=False))

    def _history(self, *, complete_only: bool) -> list[Spoken]:
        return self._conversation.history(complete_only=complete_only)
