"""What the model is told of a call beside what is said in it, in an order that it can take.

Notes of the agent's own code and of the service, the greeting, and how tools ended. What would take back a tool
call waits (`agent.dialog.held`).
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
    """Whether tools run, and whether the model waits for one; `ToolCalls`."""

    @property
    def open(self) -> bool: ...
    @property
    def awaited(self) -> bool: ...


class Briefing:
    """Brief the model of one call.

    Args:
        ports: to the call.
        conversation: what goes on.
        tools: what runs.
        awaits_tools: the model waits for a tool that does not say whether it is to be waited for.
    """

    def __init__(
        self, ports: CallPorts, conversation: Conversation, tools: AwaitedTools, *, awaits_tools: bool
    ) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._conversation = conversation
        self._tools = tools
        self._awaits_tools = awaits_tools
        self._held: Held[tuple[Note, bool]] = Held()  # notes, and whether the caller is owed what follows

    def say(self, text: str) -> None:
        """Have the agent say something: now, or as soon as that takes back no tool call."""
        self._tell(Note(say_request(valid_text(text)), wants_reply=True))

    def greet(self, text: str) -> None:
        """Have the agent begin the call."""
        self._tell(Note(greeting_request(valid_text(text)), wants_reply=True))

    def add_to_context(self, text: str, role: Role = "system", *, run_immediately: bool = False) -> None:
        """Have the model know something: it becomes part of the history, but not of the transcript.

        Args:
            text: what it is.
            role: whose words they are: the caller's (``user``), its own (``assistant``), nobody's (``system``).
            run_immediately: it is to answer now.
        """
        told = context_note(valid_text(text), role)
        self._conversation.transcript.note(told)
        self._tell(Note(told, wants_reply=run_immediately), owed=run_immediately)

    def tell_of_tool(self, item: ToolResult | Note, awaited: bool | None) -> None:
        """Tell the model how a tool ended, or how far it is; see `agent.call.tool_calls.Tell`."""
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
        """Tell what has waited long enough; to be called after each turn of the model, and twice a second."""
        for note, owed in self._held.take(self._state(), self._clock()) if self._held.waiting else ():
            self._tell_now(note, owed=owed)

    def tool_called(self) -> None:
        """Note that the model called a tool."""
        self._held.tool_called()

    def turn_completed(self) -> None:
        """Note that the model's turn is complete."""
        self._held.turn_completed(self._clock())

    def session_ended(self) -> None:
        """Note that the turn that was open will not be completed."""
        self._held.session_ended()

    def _tell(self, note: Note, *, owed: bool = False) -> None:
        """Tell the model something, or have it wait; ``owed``: the caller waits for what follows."""
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
