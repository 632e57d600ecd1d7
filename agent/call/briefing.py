"""What the model is told in a call apart from the caller's words, in an order that it can take.

This covers notes from the agent's own code and from the service, the greeting, and the results of tools. Anything
that would make the server take back a tool call waits (`agent.dialog.held`).
"""

from __future__ import annotations

import logging
from typing import Protocol

from agent.call.conversation import Conversation
from agent.call.ports import CallPorts
from agent.dialog.asides import Role, context_note, greeting_request, say_request
from agent.dialog.held import Held
from agent.dialog.held import State as HeldState
from agent.live.uplink import Note, ToolResult
from agent.unicode import valid_text

logger = logging.getLogger(__name__)


class AwaitedTools(Protocol):
    """Tells whether tools are running and whether the model waits for one; implemented by `ToolCalls`."""

    @property
    def open(self) -> bool: ...
    @property
    def awaited(self) -> bool: ...


class Briefing:
    """Briefs the model of one call.

    Args:
        ports: the way back to the call.
        conversation: the state of the conversation.
        tools: the tools that are running.
        awaits_tools: whether the model waits for a tool that declares no behavior of its own.
    """

    def __init__(
        self, ports: CallPorts, conversation: Conversation, tools: AwaitedTools, *, awaits_tools: bool
    ) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._conversation = conversation
        self._tools = tools
        self._awaits_tools = awaits_tools
        self._held: Held[tuple[Note, bool]] = Held()  # each note, and whether an answer is owed after it

    def say(self, text: str) -> None:
        """Have the agent say something: now, or as soon as it can without taking back a tool call."""
        self._tell(Note(say_request(valid_text(text)), wants_reply=True))

    def greet(self, text: str) -> None:
        """Have the agent open the call with these words."""
        self._tell(Note(greeting_request(valid_text(text)), wants_reply=True))

    def add_to_context(self, text: str, role: Role = "system", *, run_immediately: bool = False) -> None:
        """Give the model some context, which becomes part of the history but not of the transcript.

        Args:
            text: the context.
            role: whose words they are: the caller's (``user``), the model's (``assistant``), nobody's (``system``).
            run_immediately: whether the model is asked to answer it now.
        """
        told = context_note(valid_text(text), role)
        self._conversation.transcript.note(told)
        self._tell(Note(told, wants_reply=run_immediately), owed=run_immediately)

    def tell_of_tool(self, item: ToolResult | Note, awaited: bool | None) -> None:
        """Tell the model a tool's result or progress; see `agent.call.tool_calls.Tell`."""
        if isinstance(item, Note):
            self._conversation.tool_answered(silent=not item.wants_reply)
            self._tell(item)
            return
        if not item.will_continue:
            silent = item.scheduling == "SILENT"
            if awaited is None and self._awaits_tools:
                awaited = True
            self._conversation.tool_answered(silent=silent)
            turn_open = self._conversation.turn_open
            self._held.tool_answered(self._clock(), silent=silent, awaited=awaited, turn_open=turn_open)
        self._ports.send(item)

    def tell_waiting(self) -> None:
        """Tell the model what no longer has to wait; call this after each of its turns and twice a second."""
        for note, owed in self._held.take(self._state(), self._clock()) if self._held.waiting else ():
            self._tell_now(note, owed=owed)

    def tool_called(self) -> None:
        """Note that the model called a tool."""
        self._held.tool_called()

    def turn_completed(self) -> None:
        """Note that the model's turn is complete."""
        self._held.turn_completed(self._clock())

    def session_ended(self) -> None:
        """Note that the open turn will never be completed."""
        self._held.session_ended()

    def _tell(self, note: Note, *, owed: bool = False) -> None:
        """Tell the model something now or later; ``owed`` means that the caller then waits for an answer."""
        now = self._clock()
        if not self._held.must_wait(self._state(), now):
            self._tell_now(note, owed=owed)
        elif not self._held.put((note, owed), now, wants_reply=note.wants_reply):
            logger.warning(
                "call %s: a note to the model is dropped: too many wait for a tool to end", self._ports.call_id
            )

    def _tell_now(self, note: Note, *, owed: bool) -> None:
        if owed:
            self._conversation.asked(self._clock())
        self._ports.send(note)

    def _state(self) -> HeldState:
        conversation, tools = self._conversation, self._tools
        return HeldState(
            awaits_tool=tools.awaited,
            tool_runs=tools.open,
            turn_open=conversation.turn_open,
            caller_first=conversation.floor.taken or (conversation.answer_owed and not tools.open),
        )
