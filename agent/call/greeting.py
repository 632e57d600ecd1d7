"""How a call begins: with the agent's greeting, with a message sent on the caller's behalf, or with the caller."""

from __future__ import annotations

import asyncio
import math

from agent import events
from agent.call.briefing import Briefing
from agent.call.conversation import Conversation
from agent.call.kept import KeptCall
from agent.call.setup import AgentSetup


class Greeting:
    """Begins one call or continues an earlier one, once per call.

    A session that replaces one lost in mid-greeting is sent the request again, as `agent.live.replay` does with all
    that was not answered.

    The message on the caller's behalf is not sent if the caller speaks or types first.

    Args:
        setup: how the agent is set up.
        conversation: tells whether the caller spoke first.
        briefing: tells the model.
        kept: an earlier call that this one continues: the model is told which of its tools were cut off, and there
            is no greeting and no message on the caller's behalf, only the announcement.
    """

    def __init__(
        self, setup: AgentSetup, conversation: Conversation, briefing: Briefing, kept: KeptCall | None
    ) -> None:
        self._settings = setup.settings
        # Without the set-up's tools, which may refer to the call.
        self._greeting, self._announcement = setup.greeting, setup.announcement
        self._conversation = conversation
        self._briefing = briefing
        self._kept = kept
        self._media = asyncio.Event()
        self._ready = asyncio.Event()

    def media_flows(self) -> None:
        """Note that the caller can hear the agent from now on."""
        self._media.set()

    def note(self, event: events.Event) -> None:
        """Take note of an event; an observer of the call."""
        if isinstance(event, events.AgentReady):
            self._ready.set()

    async def run(self) -> None:
        """Have the model begin once its session is ready and the caller can hear it, then return."""
        if self._kept is not None:
            self._go_on(self._kept)
            if self._announcement is not None:
                await self._can_be_heard()
                self._briefing.say(self._announcement)
            return
        await self._can_be_heard()
        settings = self._settings
        opening = " ".join(filter(None, (self._announcement, self._greeting)))
        if opening:
            self._briefing.greet(opening)
        if settings.initial_message is not None:
            await asyncio.sleep(settings.initial_message_delay_s)
            if self._conversation.caller_spoke_at == -math.inf:
                self._briefing.add_to_context(settings.initial_message, "user", run_immediately=True)

    async def _can_be_heard(self) -> None:
        await self._media.wait()
        await self._ready.wait()

    def _go_on(self, kept: KeptCall) -> None:
        if kept.open_tools:
            cut_off = ", ".join(kept.open_tools)
            self._briefing.add_to_context(f"These tools were cut off and have no result: {cut_off}.")
