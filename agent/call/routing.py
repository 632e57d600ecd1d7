"""Passes each fact from the Live server to the part of the call that it concerns."""

from __future__ import annotations

from agent import events
from agent.call.limits import CallLimits
from agent.call.ports import CallPorts
from agent.call.wiring import Parts
from agent.live import wire
from agent.picture import Picture


class Routing:
    """Routes the facts of one call.

    Args:
        ports: the way back to the call.
        parts: the parts of the call.
        limits: bill the usage that the server reports.
        wants_thoughts: whether the observers are told the model's thoughts.
    """

    def __init__(self, ports: CallPorts, parts: Parts, limits: CallLimits, *, wants_thoughts: bool) -> None:
        self._ports = ports
        self._parts = parts
        self._limits = limits
        self._wants_thoughts = wants_thoughts

    def route(self, fact: wire.Fact) -> None:
        """Pass a fact from the Live server to the part that it concerns."""
        now, conversation, tools = self._ports.clock(), self._parts.conversation, self._parts.tools
        speaking, briefing, act = self._parts.speaking, self._parts.briefing, self._ports.act
        conversation.message_came(now)
        match fact:
            case wire.Speech():
                speaking.speak(fact)
            case wire.OutputTranscript() | wire.Text():
                act(conversation.text_arrived(fact, now))
            case wire.InputTranscript():
                act(conversation.words_came(fact, now))
            case wire.Interrupted():
                act(conversation.interrupted(now))
            case wire.GenerationComplete():
                act(conversation.generation_completed(caller_speaks=self._parts.hearing.caller_speaks))
            case wire.TurnComplete(reason):
                tools.turn_completed()
                briefing.turn_completed()
                act(conversation.turn_completed(reason, now))
                briefing.tell_waiting()
            case wire.ToolCall(call_id, name, arguments):
                tools.call(call_id, name, arguments)
            case wire.ToolCallsCancelled(call_ids):
                tools.cancel(call_ids)
            case wire.Resumable(handle=str()):  # the link handles its other forms, and goAway
                tools.handle_came()
            case wire.Usage():
                self._limits.bill(fact)
            case Picture():
                speaking.show(fact)
            case events.SourcesFound() | events.CodeWritten() | events.CodeRan():
                act([fact])
            case events.AgentThought() if self._wants_thoughts:
                act([fact])
