"""The spans of a call: what is in what, from when to when, and that nobody's words are in them."""

from __future__ import annotations

import json
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.call.timeline import Timeline
from signaling.traces.spans import About, CallSpans, Figures, Span

UNIX_S = 1_000_000.0


class Traced:
    """A call whose time passes when a test says so."""

    def __init__(self, *, content: bool = False, parent_id: str | None = None) -> None:
        self.now = 100.0
        self.sent_at: float | None = None
        self.timeline = Timeline(self.now, UNIX_S, lambda: self.sent_at)
        numbers = count(1)
        about = About(call_id="c1", provider="gcp.gemini", model="m", speaks=True, content=content)
        self.spans_of_call = CallSpans(
            about,
            self.timeline,
            lambda: Figures("s1", 0.25, 1, 4.3, None),
            lambda: f"{next(numbers):016x}",
            parent_id,
        )
        self.spans: list[Span] = []

    def tell(self, *happened: events.Event, after_s: float = 0.0) -> None:
        self.now += after_s
        for event in happened:
            self.timeline.note(event, self.now)
            self.spans += self.spans_of_call.note(event, self.now)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name.split(" ")[0] == name]

    def one(self, name: str) -> Span:
        (span,) = self.named(name)
        return span

    def ask(self) -> float:
        """Have the caller speak for a second; return when they had finished."""
        self.tell(events.CallerStartedSpeaking())
        self.now += 1.0
        self.sent_at = self.now + 0.001
        return self.now

    def answer(self, generation: int, asked_at: float, *, after_s: float = 0.5) -> None:
        """Have an answer begin to be heard."""
        self.now += after_s
        self.timeline.output_came(generation, self.now)
        self.tell(events.GenerationStarted(generation))
        self.timeline.audio_came(generation, self.now)
        self.timeline.packet_sent(generation, self.now)
        self.tell(events.AgentStartedSpeaking(generation))
        stages = self.timeline.responded(generation, asked_at, self.now, typed=False)
        self.tell(
            events.AgentResponded(generation, round((self.now - asked_at) * 1000), typed=False, stages=stages)
        )

    def finish(self, generation: int) -> None:
        self.tell(
            events.UsageReported(
                {"prompt": {"AUDIO": 100 * generation, "TEXT": 20}, "response": {"AUDIO": 50}}, 0.1
            ),
            events.GenerationCompleted(generation),
            events.TurnCompleted(generation, None),
            after_s=0.1,
        )
        self.tell(events.AgentStoppedSpeaking(generation), after_s=0.9)


ENDED = events.CallEnded("hung_up", "The caller hung up.", "caller")


def test_a_turn_holds_what_happened_in_it() -> None:
    call = Traced()
    asked_at = call.ask()
    call.tell(events.ToolCalled("f1", "look_up", {"pin": "1234"}), after_s=0.1)
    call.tell(events.ToolFinished("f1", "look_up", "error", {"pin": "1234"}), after_s=0.2)
    call.answer(1, asked_at)
    assert call.spans == []  # it is not over
    call.finish(1)
    turn, speech, inference, tool = call.spans
    assert [span.name for span in call.spans] == [
        "invoke_agent",
        "user_speech",
        "realtime_inference m",
        "execute_tool look_up",
    ]
    assert {span.parent_id for span in (speech, inference, tool)} == {turn.span_id}
    assert (turn.began, turn.ended) == (UNIX_S, UNIX_S + 2.8)
    assert (speech.began, speech.ended) == (UNIX_S, UNIX_S + 1.0)
    assert round(inference.began - UNIX_S, 6) == 1.001
    assert round(inference.ended - UNIX_S, 6) == 1.9
    assert (round(tool.began - UNIX_S, 6), round(tool.ended - UNIX_S, 6)) == (1.1, 1.3)
    assert turn.attributes["talkspurt.response_s"] == 0.8
    assert turn.attributes["talkspurt.stage.tools_ms"] == 200.0
    assert turn.attributes["gen_ai.agent.invocation.end_reason"] == "completed"
    assert inference.attributes["gen_ai.usage.input_tokens"] == 120
    assert (tool.error, tool.attributes["error.type"], turn.error) == (True, "error", False)

    call.tell(ENDED)
    root = call.one("call")
    assert turn.parent_id == root.span_id
    assert root.parent_id is None
    assert all(root.began <= span.began <= span.ended <= root.ended for span in call.spans)
    assert {span.attributes["gen_ai.conversation.id"] for span in call.spans} == {"c1"}


def test_each_turn_tells_its_own_tokens_and_the_call_all() -> None:
    call = Traced()
    for generation in (1, 2):
        call.answer(generation, call.ask())
        call.finish(generation)
    call.tell(ENDED)
    first, second = call.named("realtime_inference")
    assert (first.attributes["gen_ai.usage.input_tokens"], first.attributes["gen_ai.usage.output_tokens"]) == (
        120,
        50,
    )
    assert second.attributes["gen_ai.usage.input_tokens"] == 100
    assert "gen_ai.usage.output_tokens" not in second.attributes
    assert call.one("call").attributes["gen_ai.usage.audio.input_tokens"] == 200


def test_a_turn_that_is_cut_off_ends_there() -> None:
    call = Traced()
    call.answer(1, call.ask())
    call.tell(events.AgentStoppedSpeaking(1), events.AgentInterrupted(1, 24_000, 100), after_s=1.0)
    call.tell(events.TurnCompleted(1, None), after_s=0.1)
    turn = call.one("invoke_agent")
    assert turn.attributes["gen_ai.agent.invocation.end_reason"] == "interrupted"


def test_a_turn_whose_session_is_lost_is_closed() -> None:
    call = Traced()
    call.answer(1, call.ask())
    call.tell(events.TurnCompleted(1, "session_ended"), after_s=0.1)
    assert call.spans == []  # what came of it is still heard
    call.tell(events.AgentStoppedSpeaking(1), after_s=0.4)
    assert call.one("invoke_agent").attributes["gen_ai.agent.invocation.end_reason"] == "session_closed"


def test_the_end_of_the_call_ends_what_is_under_way() -> None:
    call = Traced(parent_id="00f067aa0ba902b7")
    call.answer(1, call.ask())
    call.tell(events.SessionLost("secret", "live"), after_s=0.1)
    call.tell(events.CallEnded("live_lost", "secret", "live"), after_s=0.1)
    root = call.one("call")
    assert call.named("invoke_agent")
    assert (root.parent_id, root.error) == ("00f067aa0ba902b7", True)
    assert root.attributes["talkspurt.call.end_reason"] == "live_lost"
    assert [(event.name, event.attributes) for event in root.happened] == [
        ("session_lost", {"talkspurt.detail": "live"}),
        ("call_ended", {"talkspurt.detail": "live_lost"}),
    ]


def say_secrets(call: Traced) -> None:
    asked_at = call.ask()
    call.tell(
        events.CallerTranscribed("t1", 1, "secret question", final=True),
        events.ToolCalled("f1", "look_up", {"pin": "secret", "day": "secret day"}),
        events.ToolFinished(
            "f1", "look_up", "result", {"pin": "secret"}, events.ToolReport("full", frozenset({"pin"}))
        ),
        events.ToolCalled("f2", "a secret name\n", {}),
        events.ToolFinished("f2", "a secret name\n", "error"),
    )
    call.answer(1, asked_at)
    call.tell(events.AgentTranscribed("t2", 1, "secret answer", final=True))
    call.finish(1)
    call.tell(events.CallEnded("live_lost", "secret", "live"))


def test_no_word_is_told() -> None:
    call = Traced()
    say_secrets(call)
    assert len(call.spans) == 6
    assert "secret" not in repr(call.spans)


def test_words_are_told_if_they_are_to_be() -> None:
    call = Traced(content=True)
    say_secrets(call)
    turn = call.one("invoke_agent")
    (said,) = json.loads(str(turn.attributes["gen_ai.output.messages"]))
    assert said == {"role": "assistant", "parts": [{"type": "text", "content": "secret answer"}]}
    assert "secret question" in str(turn.attributes["gen_ai.input.messages"])
    tool = call.named("execute_tool")[0]
    assert json.loads(str(tool.attributes["gen_ai.tool.call.arguments"])) == {"pin": "secret", "day": "secret day"}
    assert json.loads(str(tool.attributes["gen_ai.tool.call.result"])) == {"pin": "***"}


HAPPENINGS = st.sampled_from(
    [
        events.CallerStartedSpeaking(),
        events.CallerTranscribed("t1", 1, "x", final=True),
        events.GenerationStarted(1),
        events.GenerationStarted(2),
        events.GenerationCompleted(1),
        events.GenerationCompleted(2),
        events.TurnCompleted(1, None),
        events.TurnCompleted(2, "session_ended"),
        events.AgentStartedSpeaking(1),
        events.AgentStoppedSpeaking(2),
        events.AgentInterrupted(1, 1, 1),
        events.ToolCalled("f1", "f", {}),
        events.ToolFinished("f1", "f", "timeout"),
        events.UsageReported({"prompt": {"AUDIO": 1}}, None),
        events.CallSetUp(events.SetUpStages(1.0, 2.0, 3.0)),
    ]
)


@given(st.lists(st.tuples(HAPPENINGS, st.floats(0, 3), st.booleans()), max_size=40), st.booleans())
def test_whatever_happens_makes_one_tree(happened: list[tuple[events.Event, float, bool]], content: bool) -> None:
    call = Traced(content=content)
    for event, after_s, outputs in happened:
        if isinstance(event, events.GenerationStarted) and outputs:
            call.timeline.output_came(event.generation, call.now)
            call.timeline.audio_came(event.generation, call.now)
        call.tell(event, after_s=after_s)
    call.tell(ENDED)
    by_id = {span.span_id: span for span in call.spans}
    assert len(by_id) == len(call.spans)
    root = call.one("call")
    for span in call.spans:
        assert span.began <= span.ended
        if span is not root:
            assert span.parent_id in by_id
