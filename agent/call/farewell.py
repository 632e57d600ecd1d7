"""The farewell: whoever ends a call on the agent's side waits here until the last words have been heard.

`agent.dialog.goodbye` decides which words those are and when they have been heard. Task: one, started when the
agent is to hang up; it ends the call, or ends with it. All others wait in tasks of their own.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field

from agent import events
from agent.call.ports import CallPorts
from agent.dialog.goodbye import GOODBYE_S, Goodbye, Words
from agent.media.playout import Playout

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Waiting:
    goodbye: Goodbye
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class Farewell:
    """Waits for the last words of one call.

    Args:
        ports: the way back to the call.
        playout: holds the speech that is still to be sent.
        writes: whether the agent writes instead of speaking.
    """

    def __init__(self, ports: CallPorts, playout: Playout, *, writes: bool) -> None:
        self._ports = ports
        self._playout = playout
        self._writes = writes
        self._generation = 0
        self._speaks = False
        self._leaving = False
        self._waiting: list[_Waiting] = []

    def note(self, event: events.Event) -> None:
        """Take note of an event; an observer of the call."""
        match event:
            case events.GenerationStarted(generation):
                self._generation = generation
            case events.AgentStartedSpeaking():
                self._speaks = True
            case events.AgentStoppedSpeaking():
                self._speaks = False
            case events.GenerationCompleted() | events.TurnCompleted() | events.AgentInterrupted():
                pass
            case _:
                return
        for waiting in self._waiting:
            waiting.goodbye.note(event)
            waiting.moved.set()

    def end_call(self) -> None:
        """Have the agent hang up once its current or next turn has been heard."""
        if not self._leaving:
            self._leaving = True
            self._ports.start(self._leave, "leave")

    async def heard(self, words: Words, *, silence_s: float = 0.0) -> None:
        """Wait until the last words have been heard, for at most `GOODBYE_S`.

        Args:
            words: which words they are, see `agent.dialog.goodbye`.
            silence_s: the silence that must follow, which gives a gateway in between time to play them out.
        """
        goodbye = Goodbye(words, after=self._generation, speaks=self._speaks, writes=self._writes)
        waiting = _Waiting(goodbye)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(GOODBYE_S[words]):
                while not await self._heard(waiting, silence_s):
                    await waiting.moved.wait()
        except TimeoutError:
            logger.info("the agent's last words were not heard within %g s", GOODBYE_S[words])
        finally:
            self._waiting.remove(waiting)

    async def _leave(self) -> None:
        await self.heard("turn")
        self._ports.hang_up("hung_up", "The agent hung up.", "agent")

    async def _heard(self, waiting: _Waiting, silence_s: float) -> bool:
        """Return whether the words were heard and nothing followed them for ``silence_s``."""
        waiting.moved.clear()
        if not waiting.goodbye.heard or self._playout.queued_samples:
            return False
        if silence_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(silence_s):
                    await waiting.moved.wait()
        return not waiting.moved.is_set()
