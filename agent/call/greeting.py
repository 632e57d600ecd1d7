"""How a call begins: with the agent's greeting, with what is said in the caller's place, or by the caller."""

from __future__ import annotations

import asyncio
import math

from agent import events
from agent.call.briefing import Briefing
from agent.call.conversation import Conversation
from agent.call.kept import KeptCall
from agent.call.setup import AgentSetup


class Greeting:
    """Begin one call, or go on from an earlier one; once, whatever becomes of the call's Live sessions.

    Nothing is said in the caller's place if the caller speaks or types first.

    Args:
        setup: of the agent.
        conversation: says whether the caller was first.
        briefing: tells the model.
        kept: an earlier call that this one goes on from: the model is told which of its tools were cut off, and
            nothing is greeted or said in the caller's place.
    """

    def __init__(
        self, setup: AgentSetup, conversation: Conversation, briefing: Briefing, kept: KeptCall | None
    ) -> None:
        self._settings = setup.settings
        self._greeting = setup.greeting  # not the tools beside it, which may know the call
        self._conversation = conversation
        self._briefing = briefing
        self._kept = kept
        self._media = asyncio.Event()
        self._ready = asyncio.Event()

    def media_flows(self) -> None:
        """Note that the caller can hear the agent from now on."""
        self._media.set()

    def note(self, event: events.Event) -> None:
        """Take note of what happened; an observer of the call."""
        if isinstance(event, events.AgentReady):
            self._ready.set()

    async def run(self) -> None:
        """Have the model begin once it listens and the caller can hear it; ends then."""
        if self._kept is not None:
            self._go_on(self._kept)
            return
        await self._media.wait()
        await self._ready.wait()
        settings = self._settings
        if self._greeting is not None:
            self._briefing.greet(self._greeting)
        if settings.initial_message is not None:
            await asyncio.sleep(settings.initial_message_delay_s)
            if self._conversation.caller_spoke_at == -math.inf:
                self._briefing.add_to_context(settings.initial_message, "user", run_immediately=True)

    def _go_on(self, kept: KeptCall) -> None:
        if kept.open_tools:
            cut_off = ", ".join(kept.open_tools)
            self._briefing.add_to_context(f"These tools were cut off and have no result: {cut_off}.")
