"""What a client of OpenAI's Realtime API is told of a call: events of the call become server events. Pure.

Rules:
  1. A response begins when the client asks for one, or when the model begins to speak, and ends with the model's
     turn, with an interruption, or with a call of a client's function. Whatever the model says after that call is
     another response.
  2. What was interrupted is told as it was generated, and then as truncated: whoever retrieves the item gets what
     was heard.
  3. Tools that run in the service are not told: clients take every function call for one of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent import events
from signaling.dialects.openai.caller_items import CallerItems
from signaling.dialects.openai.items import Items, Json, function_output, grown, message
from signaling.dialects.openai.responses import Responses
from signaling.dialects.openai.wire import Wire

SAMPLES_PER_MS = 24


@dataclass(slots=True)
class _AgentTurn:
    """A turn of the agent: how much of its text was told, and where in it each of its items begins."""

    told: str = ""
    begins: dict[str, int] = field(default_factory=dict)


class Told:
    """What one client was told; each method returns the server events that follow, in order.

    Args:
        written: the agent writes instead of speaking.
        generation: the model's newest generation so far.
        turn_open: the model's turn is not over.
    """

    def __init__(self, *, written: bool = False, generation: int = 0, turn_open: bool = False) -> None:
        self.wire = Wire()
        self.items = Items()
        self.caller = CallerItems(self.wire, self.items)
        self.responses = Responses(self.wire, self.items, written=written)
        self._generation, self._turn_open = generation, turn_open
        self._answered = True  # the model has begun to answer whatever it was last asked
        self._agent_turns: dict[str, _AgentTurn] = {}
        self._typed: list[str] = []  # texts that the call has yet to report
        self._heard_ms = 0  # of the generation that was interrupted last

    # what the client asks for

    def item_created(self, item: Json) -> list[Json]:
        """The client added an item."""
        previous = self.items.add(item)
        return [
            self.wire.event("conversation.item.added", previous_item_id=previous, item=item),
            self.wire.event("conversation.item.done", previous_item_id=previous, item=item),
        ]

    def output_created(self, item_id: str, call_id: str, output: str) -> list[Json]:
        """The client answered a call of a function, and the model goes on by itself."""
        self._answered = False
        return self.item_created(function_output(item_id, call_id, output))

    def typing(self, text: str) -> None:
        """Note that the call will report this as typed by the caller, although the client knows it."""
        self._typed.append(text)

    def expect_answer(self) -> None:
        """Note that the model was given something that it answers by itself."""
        self._answered = False

    def response_asked(self, *, goes_on: bool) -> list[Json]:
        """The client asked for a response.

        Args:
            goes_on: the model answers by itself what it was given; if it has begun to, the response is empty.
        """
        if goes_on and self._answered:
            return [*self.responses.begin(None), *self.responses.finish("completed")]
        return self.responses.begin(self._generation if goes_on and self._turn_open else None)

    def response_cancelled(self) -> list[Json]:
        """The client cancelled the open response; return nothing if the model has begun, and must be cut off."""
        self.responses.client_cancels = True
        response = self.responses.open
        waits = response is not None and response.generation is None
        return self.responses.finish("cancelled") if waits else []

    def voice_cleared(self) -> Json:
        """The agent was cut off, or was silent when the client wanted silence."""
        return self._voice("cleared")

    def function_called(self, call_id: str, name: str, arguments: str) -> list[Json]:
        """The model called a function that runs in the client (rule 1)."""
        out = [] if self.responses.open else self.responses.begin(self._generation)
        assert self.responses.open is not None
        out += self.responses.call_function(self.responses.open, call_id, name, arguments)
        return [*out, *self.responses.finish("completed")]

    # what happens in the call

    def tell(self, event: events.Event, now_ms: int) -> list[Json]:
        """Return the server events that tell of an event of the call.

        Args:
            event: what happened.
            now_ms: since the call began.
        """
        match event:
            case events.CallerStartedSpeaking():
                return self.caller.started(now_ms)
            case events.CallerStoppedSpeaking():
                return self.caller.stopped(now_ms)
            case events.CallerTranscribed(text=text, typed=True):
                return self._caller_typed(text)
            case events.CallerTranscribed():
                return self.caller.said(event)
            case events.GenerationStarted(generation):
                return self._generation_started(generation)
            case events.AgentTranscribed():
                return self._agent_said(event)
            case events.AgentStartedSpeaking():
                return [self._voice("started")]
            case events.AgentStoppedSpeaking():
                return [self._voice("stopped")]
            case events.AgentInterrupted():
                return self._interrupted(event)
            case events.TurnCompleted(generation):
                return self._turn_completed(generation)
            case events.UsageReported(tokens):
                used = {(way, kind): count for way in tokens for kind, count in tokens[way].items()}
                self.responses.used = used
                return []
            case events.InputRefused(what):
                words = f"the model refused this and is not given it again: {what.replace('_', ' ')}"
                return [self.wire.failure("input_refused", words)]
            case events.CallEnded():
                return self._ended(event)
            case _:
                return []

    def _caller_typed(self, text: str) -> list[Json]:
        if self._typed and self._typed[0] == text:
            del self._typed[0]
            return []
        content = [{"type": "input_text", "text": text}]
        return self.item_created(message(self.items.new_id(), "user", content, "completed"))

    def _generation_started(self, generation: int) -> list[Json]:
        self._generation, self._turn_open, self._answered = generation, True, True
        response = self.responses.open
        if response is not None and response.generation is None:
            response.generation = generation
            return []
        return self.responses.begin(generation)

    def _agent_said(self, event: events.AgentTranscribed) -> list[Json]:
        turn = self._agent_turns.setdefault(event.turn_id, _AgentTurn())
        if event.final:
            del self._agent_turns[event.turn_id]
        if event.interrupted:
            return self._truncated(turn, event.text)
        delta = grown(turn.told, event.text)
        if self.responses.open is None or self.responses.open.speech is None:
            delta = delta.lstrip()  # it begins an item
        if not delta:
            return []
        begin = len(event.text) - len(delta)
        self._answered = True
        out = [] if self.responses.open else self.responses.begin(self._generation)
        response = self.responses.open
        assert response is not None
        if response.generation is None:
            response.generation = self._generation
        out += self.responses.say(response, delta)
        assert response.speech is not None
        turn.begins.setdefault(response.speech, begin)
        turn.told = event.text
        return out

    def _truncated(self, turn: _AgentTurn, heard: str) -> list[Json]:
        """Cut the items of a turn to what was heard of it (rule 2)."""
        out = []
        ends = [*list(turn.begins.values())[1:], len(turn.told)]
        for (item_id, begin), end in zip(turn.begins.items(), ends, strict=False):
            item = self.items.get(item_id)
            if item is None or len(heard) >= end:
                continue
            item["content"][0][self.responses.text] = heard[begin:]
            item["status"] = "incomplete"
            place = {"item_id": item_id, "content_index": 0, "audio_end_ms": self._heard_ms}
            out.append(self.wire.event("conversation.item.truncated", **place))
        return out

    def _interrupted(self, event: events.AgentInterrupted) -> list[Json]:
        self._heard_ms = event.heard_samples // SAMPLES_PER_MS
        response = self.responses.open
        cut = response is not None and response.generation == event.generation
        return [self._voice("cleared"), *(self.responses.finish("cancelled") if cut else [])]

    def _turn_completed(self, generation: int) -> list[Json]:
        self._turn_open = False
        response = self.responses.open
        return self.responses.finish("completed") if response and response.generation == generation else []

    def _ended(self, event: events.CallEnded) -> list[Json]:
        out = self.responses.finish("failed" if event.is_error else "cancelled")
        if event.reason not in ("hung_up", "caller_left"):
            out.append(self.wire.failure(event.reason, event.detail))
        return out

    def _voice(self, what: str) -> Json:
        return self.wire.event(f"output_audio_buffer.{what}", response_id=self.responses.latest_id)
