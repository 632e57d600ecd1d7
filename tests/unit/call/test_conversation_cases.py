"""What a conversation makes of facts, without a loop, a call or a server."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.call.conversation import Conversation
from agent.call.outcomes import AnswerCompleted, Flush, Outcomes, ReplaceSession, TellWaiting
from agent.call.setup import AgentSetup
from agent.call.timeline import Timeline
from agent.dialog.asides import NUDGE, NUDGE_TO_WRITE
from agent.live import wire
from agent.media.playout import VOICE_RATE_HZ, Playout
from agent.settings import Settings

WRITES = {"audio_output": False, "model": "offline-demo"}


class Tools:
    """The tools that run."""

    def __init__(self) -> None:
        self.running = 0

    @property
    def open(self) -> bool:
        return self.running > 0


class Talk:
    """A conversation whose outcomes are carried out as a call does it, but for the wire and the clock."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.playout = Playout()
        self.tools = Tools()
        self.told: list[events.Event] = []
        self.done: list[Any] = []
        self.speaking = False
        self.states = ["connecting"]
        setup = AgentSetup.of(Settings(**settings))
        self.conversation = Conversation(setup, self.playout, self.tools, Timeline())

    def act(self, outcomes: Outcomes) -> None:
        for outcome in outcomes:
            match outcome:
                case Flush(generation):
                    cuts, _fade = self.playout.flush(generation)
                    self._speak(speaking=False)
                    self.act(self.conversation.flushed(cuts))
                case TellWaiting() | ReplaceSession() | AnswerCompleted():
                    self.done.append(outcome)
                case _:
                    self.told.append(outcome)
        if self.conversation.state != self.states[-1]:
            self.states.append(self.conversation.state)

    def ready(self) -> None:
        self.conversation.session_ready(self.now)
        self.act([])

    def lose_session(self) -> None:
        self.act(self.conversation.session_ended(self.now))

    def words(self, text: str, *, finished: bool = False) -> None:
        self._message()
        self.act(self.conversation.words_came(wire.InputTranscript(text, finished=finished), self.now))

    def type_text(self, text: str, *, cuts: bool = True) -> None:
        self.act(self.conversation.typed(text, self.now, cuts=cuts))

    def voice(self, seconds: float, text: str = "") -> None:
        """The model says something: words, and the sound of them."""
        self._message()
        self.act(self.conversation.output_arrived(self.now))
        pcm = np.full(round(seconds * VOICE_RATE_HZ), 9000, np.int16)
        self.conversation.voice_arrived(len(pcm), self.now, audible=True)
        self.playout.push(pcm, generation=self.conversation.generation)
        if text:
            self.caption(text)

    def caption(self, text: str) -> None:
        self._message()
        self.act(self.conversation.text_arrived(wire.OutputTranscript(text), self.now))

    def write(self, text: str) -> None:
        self._message()
        self.act(self.conversation.text_arrived(wire.Text(text), self.now))

    def interrupted(self) -> None:
        self._message()
        self.act(self.conversation.interrupted(self.now))

    def hush(self) -> None:
        self.act(self.conversation.hush(self.now))

    def complete_generation(self) -> None:
        self._message()
        self.act(self.conversation.generation_completed(caller_speaks=self.conversation.floor.taken))

    def complete_turn(self, reason: str | None = None) -> None:
        self._message()
        self.act(self.conversation.turn_completed(reason, self.now))

    def floor(self, *, taken: bool) -> None:
        if self.conversation.floor.level(taken):
            self.act(self.conversation.floor_changed(self.now))

    def tool(self, *, runs: bool) -> None:
        """A tool is called, or the newest one ends."""
        if not runs and not self.tools.running:
            return
        self.tools.running += 1 if runs else -1
        event: events.ToolCalled | events.ToolFinished = events.ToolFinished("c", "look", "result")
        if runs:
            event = events.ToolCalled("c", "look", {})
        else:
            self.conversation.tool_answered(silent=False)
        self.conversation.tool_moved(event, self.now)
        self.act([event])

    def hear(self, seconds: float) -> None:
        """The caller hears the agent for a while, and time passes."""
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            playing = self.playout.pull() is not None
            self._speak(speaking=playing)
            if playing:
                self.act(self.conversation.heard(self.playout.playing, self.now))

    def wait(self, seconds: float) -> None:
        """Time passes, and somebody looks at it twice a second."""
        for _ in range(round(seconds / 0.5)):
            self.hear(0.5)
            self.act(self.conversation.tick(self.now))

    def end(self) -> None:
        self.act(self.conversation.end())

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def last(self, kind: type[Any]) -> Any:
        return self.all(kind)[-1]

    def _message(self) -> None:
        self.conversation.message_came(self.now)

    def _speak(self, *, speaking: bool) -> None:
        if speaking != self.speaking:
            self.speaking = speaking
            self.act(self.conversation.speaking_changed(speaking, self.playout.generation))


@pytest.fixture
def talk() -> Talk:
    ready = Talk()
    ready.ready()
    return ready


def test_a_question_is_answered_and_each_turn_ends_once(talk: Talk) -> None:
    talk.floor(taken=True)
    talk.hear(1.0)
    talk.words("what is ")
    talk.words("the time")
    talk.floor(taken=False)
    talk.voice(1.0, "It is noon.")
    talk.hear(0.5)
    talk.complete_generation()
    talk.complete_turn()
    talk.hear(1.0)
    assert [event.text for event in talk.all(events.CallerTranscribed) if event.final] == ["what is the time"]
    assert [event.text for event in talk.all(events.AgentTranscribed) if event.final] == ["It is noon."]
    assert talk.states == ["connecting", "listening", "thinking", "speaking", "listening"]
    assert talk.done == [AnswerCompleted()]
    assert talk.conversation.quiet


def test_what_was_cut_off_ends_at_what_was_heard(talk: Talk) -> None:
    talk.voice(2.0, "one two three four ")
    talk.voice(2.0, "five six seven eight")
    talk.hear(1.0)
    talk.interrupted()
    cut = talk.last(events.AgentInterrupted)
    fade_samples = 5 * VOICE_RATE_HZ // 1000
    assert cut.heard_samples == VOICE_RATE_HZ + fade_samples
    assert cut.dropped_samples == 3 * VOICE_RATE_HZ - fade_samples
    said = talk.last(events.AgentTranscribed)
    assert (said.text, said.final, said.interrupted) == ("one", True, True)
    assert said.unheard_text == "two three four five six seven eight"


def test_an_answer_that_is_complete_and_still_plays_was_not_heard_to_its_end(talk: Talk) -> None:
    """The model is far ahead of the voice: its turn is complete long before the caller types."""
    talk.voice(4.0, "one two three four five six seven eight")
    talk.complete_generation()
    talk.complete_turn()
    talk.hear(1.0)
    talk.type_text("stop")
    said = talk.last(events.AgentTranscribed)
    assert (said.text, said.final, said.interrupted) == ("one two", True, True)
    assert talk.conversation.transcript.history()[0].text == "one two"


def test_of_two_answers_that_wait_the_second_was_not_heard_at_all(talk: Talk) -> None:
    talk.voice(2.0, "one two three four")
    talk.complete_turn()
    talk.voice(2.0, "five six")
    talk.complete_turn()
    talk.hear(1.0)
    talk.interrupted()
    finals = [event for event in talk.all(events.AgentTranscribed) if event.final]
    assert [(event.text, event.interrupted) for event in finals] == [("one two", True), ("", True)]
    assert [event.generation for event in talk.all(events.AgentInterrupted)] == [1, 2]


def test_what_a_caller_says_after_an_interruption_is_a_turn_of_its_own(talk: Talk) -> None:
    """The answer was not complete, so nothing else has ended the turn before."""
    talk.floor(taken=True)
    talk.hear(0.6)
    talk.words("tell me a story")
    talk.floor(taken=False)
    talk.voice(5.0, "Once upon a time")
    talk.hear(0.4)
    talk.floor(taken=True)
    talk.interrupted()
    talk.words("what time is it")
    talk.complete_turn()
    talk.voice(1.0, "It is noon.")
    talk.complete_turn()
    finals = [event.text for event in talk.all(events.CallerTranscribed) if event.final]
    assert finals == ["tell me a story", "what time is it"]


def test_words_after_the_clients_own_interruption_are_a_turn_of_their_own(talk: Talk) -> None:
    talk.words("tell me a story")
    talk.voice(5.0, "Once upon a time")
    talk.hear(0.4)
    talk.hush()
    talk.words("what time is it")
    talk.end()
    finals = [event.text for event in talk.all(events.CallerTranscribed) if event.final]
    assert finals == ["tell me a story", "what time is it"]


def test_words_that_come_while_the_answer_begins_still_belong_to_the_question(talk: Talk) -> None:
    talk.words("what is ")
    talk.voice(1.0, "It is noon.")
    talk.words("the time")
    talk.complete_generation()
    assert [event.text for event in talk.all(events.CallerTranscribed) if event.final] == ["what is the time"]


def test_a_generation_that_was_cut_off_says_no_more(talk: Talk) -> None:
    talk.voice(1.0, "one two")
    talk.hear(0.2)
    talk.interrupted()
    talk.voice(1.0, "three")
    assert talk.playout.queued_samples == 0
    assert talk.all(events.GenerationStarted) == [events.GenerationStarted(1)]
    assert not any("three" in event.text for event in talk.all(events.AgentTranscribed))


def test_an_agent_that_writes_is_read_at_once() -> None:
    talk = Talk(**WRITES)
    talk.ready()
    talk.type_text("hello")
    talk.now += 0.5
    talk.write("Hi the")
    assert talk.last(events.AgentResponded).response_ms == 500
    talk.write("re.")
    talk.type_text("stop")
    assert talk.last(events.AgentTranscribed) == events.AgentTranscribed(
        "t2", 3, "Hi there.", final=True, interrupted=True
    )


def test_a_silent_agent_is_nudged_then_its_session_is_replaced(talk: Talk) -> None:
    talk.type_text("hello")
    talk.conversation.message_came(talk.now + 0.1)
    talk.wait(40)
    steps = [event.step for event in talk.all(events.AgentFellSilent)]
    assert steps == ["nudge", "resume", "rebuild", "apologise"]
    assert talk.done[0] == TellWaiting(NUDGE)
    assert [done.rebuild for done in talk.done if isinstance(done, ReplaceSession)] == [False, True]


def test_an_agent_that_writes_is_nudged_to_write() -> None:
    talk = Talk(**WRITES)
    talk.ready()
    talk.type_text("hello")
    talk.conversation.message_came(talk.now + 0.1)
    talk.wait(15)
    assert talk.done[0] == TellWaiting(NUDGE_TO_WRITE)


def test_nothing_is_asked_of_an_agent_whose_tool_runs(talk: Talk) -> None:
    talk.type_text("look it up")
    talk.tool(runs=True)
    assert talk.states[-1] == "thinking"
    talk.wait(60)
    assert talk.done == []
    talk.tool(runs=False)
    assert talk.states[-1] == "thinking"  # of the tool's answer something is to be said


def test_a_session_that_ends_completes_its_turn(talk: Talk) -> None:
    talk.words("hello")
    talk.voice(1.0, "Hi.")
    talk.lose_session()
    assert talk.told[-2:] == [events.GenerationCompleted(1), events.TurnCompleted(1, "session_ended")]
    talk.hear(1.5)
    assert talk.last(events.AgentTranscribed).final
    talk.words("hello")  # the next session is sent it again
    assert talk.last(events.CallerTranscribed).text == "hello"


def test_the_call_s_end_ends_all_turns(talk: Talk) -> None:
    talk.words("hello")
    talk.voice(1.0, "Hi.")
    talk.end()
    assert talk.last(events.CallerTranscribed).final
    assert talk.last(events.AgentTranscribed).final


def test_a_caller_who_has_the_floor_is_listened_to(talk: Talk) -> None:
    talk.type_text("hello")
    assert talk.states[-1] == "thinking"
    talk.floor(taken=True)
    assert talk.states[-1] == "listening"
    assert talk.conversation.caller_spoke_at == talk.now
    assert not talk.conversation.quiet


def test_nobody_has_said_anything_yet() -> None:
    talk = Talk()
    assert talk.conversation.state == "connecting"
    assert talk.conversation.caller_spoke_at == -math.inf
    talk.hush()
    assert talk.told == []


def fact(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


FACTS = st.one_of(
    *map(fact, ("interrupted", "hush", "complete_generation", "complete_turn", "lose_session", "ready")),
    fact("type_text", text=st.just("typed"), cuts=st.booleans()),
    fact("words", text=st.sampled_from(["so ", "well "]), finished=st.booleans()),
    fact("voice", seconds=st.floats(0, 3), text=st.sampled_from(["", "one two ", "three four "])),
    fact("caption", text=st.sampled_from(["five ", "six "])),
    fact("floor", taken=st.booleans()),
    fact("tool", runs=st.booleans()),
    fact("hear", seconds=st.floats(0, 1)),
    fact("wait", seconds=st.sampled_from([0.5, 8])),
)


@given(st.lists(FACTS, max_size=30))
def test_in_any_order_each_turn_ends_once_and_no_more_is_heard_than_arrived(
    facts: list[tuple[str, dict[str, Any]]],
) -> None:
    talk, arrived = Talk(), Counter[int]()
    for name, arguments in facts:
        getattr(talk, name)(**arguments)
        if name == "voice":
            arrived[talk.conversation.generation] += round(arguments["seconds"] * VOICE_RATE_HZ)
    talk.end()
    check_turns(talk)
    check_generations(talk, arrived)


def check_turns(talk: Talk) -> None:
    """Of each turn that was told the last revision is final, and no other."""
    told: dict[str, list[Any]] = {}
    for event in talk.told:
        if isinstance(event, events.CallerTranscribed | events.AgentTranscribed):
            told.setdefault(event.turn_id, []).append(event)
    for revisions in told.values():
        assert [each.revision for each in revisions] == list(range(1, len(revisions) + 1))
        assert [each.final for each in revisions] == [False] * (len(revisions) - 1) + [True]
    assert len(told) == talk.conversation.transcript.count


def check_generations(talk: Talk, arrived: Counter[int]) -> None:
    """Generations count up, and of none is more heard than arrived."""
    assert [event.generation for event in talk.all(events.GenerationStarted)] == list(
        range(1, talk.conversation.generation + 1)
    )
    for cut in talk.all(events.AgentInterrupted):
        assert cut.heard_samples <= arrived[cut.generation]
        assert cut.heard_samples + cut.dropped_samples <= arrived[cut.generation]
    spoken = [isinstance(event, events.AgentStartedSpeaking) for event in talk.told if is_speaking(event)]
    assert spoken == [number % 2 == 0 for number in range(len(spoken))]


def is_speaking(event: events.Event) -> bool:
    return isinstance(event, events.AgentStartedSpeaking | events.AgentStoppedSpeaking)
