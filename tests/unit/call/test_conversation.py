"""Who says what in a call: the four rules, without a loop, and what holds for any order of facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.call.conversation import Conversation
from agent.call.outcomes import AnswerCompleted, Flush, Outcomes, ReplaceSession, TellWaiting
from agent.call.setup import AgentSetup
from agent.call.timeline import Timeline
from agent.live import wire
from agent.media.playout import FRAME_SAMPLES, Playout
from agent.settings import Settings


@dataclass
class Tools:
    open: bool = False


@dataclass
class World:
    """A conversation with the real queue of the voice; it checks each outcome as it comes.

    Attributes:
        said: how each turn ended, by its id: who said it, what, and whether it was cut off.
        told: every event, in order.
    """

    now: float = 100.0
    said: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    told: list[events.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue, self.tools = Playout(), Tools()
        self.conversation = Conversation(AgentSetup.of(Settings()), self.queue, self.tools, Timeline())
        self.arrived: dict[int, int] = {}
        self.complete: set[int] = set()  # generations of which no more will come
        self.flushed: set[int] = set()
        self.generations: dict[str, int] = {}  # of the agent's turns, by id
        self.speaking = self.connected = self.over = False

    @property
    def turns(self) -> list[tuple[str, str, bool]]:
        """How the turns ended, in the order in which they began."""
        return [self.said[turn_id] for turn_id in sorted(self.said, key=lambda turn_id: int(turn_id[1:]))]

    def act(self, outcomes: Outcomes) -> None:
        for outcome in outcomes:
            match outcome:
                case Flush(generation):
                    self._flush(generation)
                case AnswerCompleted():
                    assert self.queue.generation
                case events.AgentTranscribed() | events.CallerTranscribed():
                    self._transcribed(outcome)
                case TellWaiting() | ReplaceSession():
                    assert not self.over
                case _:
                    self.told.append(outcome)
        self._check_state()

    def _flush(self, generation: int) -> None:
        cuts, _fade = self.queue.flush(generation)
        for cut in cuts:
            assert cut.heard_samples <= self.arrived.get(cut.generation, 0)
        self._speak(speaking=False)
        self.flushed |= {cut.generation for cut in cuts}
        self.act(self.conversation.flushed(cuts))

    def _speak(self, *, speaking: bool) -> None:
        if speaking != self.speaking:
            self.speaking = speaking
            self.act(self.conversation.speaking_changed(speaking, self.queue.generation))

    def _transcribed(self, event: events.AgentTranscribed | events.CallerTranscribed) -> None:
        self.told.append(event)
        assert event.turn_id not in self.said, "nothing follows a turn's end"
        agent = isinstance(event, events.AgentTranscribed)
        if agent:
            generation = self.generations.setdefault(event.turn_id, self.conversation.generation)
        if not event.final:
            return
        cut = isinstance(event, events.AgentTranscribed) and event.interrupted
        self.said[event.turn_id] = ("agent" if agent else "caller", event.text, cut)
        if cut:
            assert generation in self.flushed
        elif agent and not self.over:
            assert generation in self.complete
            assert not self.queue.queued_in(generation), "heard to its end"

    def _check_state(self) -> None:
        state = self.conversation.state
        if not self.connected:
            assert state == "connecting"
            return
        assert (state == "speaking") is self.speaking
        if state == "thinking":
            assert not self.conversation.floor.taken
        nothing_to_come = not (
            self.speaking
            or self.conversation.more_to_come
            or self.queue.queued_samples
            or self.tools.open
            or self.conversation.answer_owed
        )
        if nothing_to_come:
            assert state == "listening"

    # facts

    def connect(self) -> None:
        self.connected = True
        self.conversation.session_ready(self.now)
        self._check_state()

    def lose_session(self) -> None:
        self.complete.add(self.conversation.generation)
        self.act(self.conversation.session_ended(self.now))

    def floor(self, *, taken: bool) -> None:
        if self.conversation.floor.level(taken):
            self.act(self.conversation.floor_changed(self.now))

    def words(self, text: str) -> None:
        self.act(self.conversation.words_came(wire.InputTranscript(text, finished=False), self.now))

    def type(self, text: str, *, cuts: bool = True) -> None:
        self.act(self.conversation.typed(text, self.now, cuts=cuts))

    def voice(self, frames: int) -> None:
        conversation = self.conversation
        outcomes = conversation.output_arrived(self.now)
        self._begun()
        self.act(outcomes)
        generation, pcm = conversation.generation, np.full(frames * FRAME_SAMPLES, 1000, np.int16)
        conversation.voice_arrived(len(pcm), self.now, audible=True)
        self.arrived[generation] = self.arrived.get(generation, 0) + len(pcm)
        self.queue.push(pcm, generation=generation)
        self._check_state()

    def text(self, text: str) -> None:
        outcomes = self.conversation.text_arrived(wire.OutputTranscript(text), self.now)
        self._begun()
        self.act(outcomes)

    def _begun(self) -> None:
        """No more comes of the generations before the newest."""
        self.complete |= set(range(1, self.conversation.generation))

    def interrupted(self) -> None:
        self.act(self.conversation.interrupted(self.now))

    def generation_complete(self) -> None:
        self.act(self.conversation.generation_completed(caller_speaks=self.conversation.floor.taken))

    def turn_complete(self) -> None:
        self.complete.add(self.conversation.generation)
        self.act(self.conversation.turn_completed(None, self.now))

    def play(self, frames: int) -> None:
        for _ in range(frames):
            if self.queue.pull() is None:
                break
            self._speak(speaking=True)
            self.act(self.conversation.heard(self.queue.playing, self.now))
            self.now += 0.02
        if not self.queue.queued_samples:
            self._speak(speaking=False)

    def tool(self, *, runs: bool) -> None:
        if runs != self.tools.open:
            self.tools.open = runs
            event = events.ToolCalled("c", "t", {}) if runs else events.ToolFinished("c", "t", "result", {})
            self.conversation.tool_moved(event, self.now)
            self._check_state()

    def end(self) -> None:
        self.over = True
        self.act(self.conversation.end())
        assert not self.conversation.end()


def connected() -> World:
    world = World()
    world.connect()
    return world


def answering(question: str = "Tell me a story.") -> World:
    """The caller has asked, and the agent speaks; its answer is not complete."""
    world = connected()
    world.floor(taken=True)
    world.words(question)
    world.floor(taken=False)
    world.now += 0.5
    world.voice(100)
    world.text("Once upon a time there was a king.")
    world.play(10)
    return world


# rule 1


def test_what_comes_while_no_turn_is_open_begins_a_generation() -> None:
    world = connected()
    world.voice(1)
    world.voice(1)
    world.turn_complete()
    world.voice(1)
    assert [each.generation for each in world.told if isinstance(each, events.GenerationStarted)] == [1, 2]


# rule 2


def test_a_complete_turn_of_the_agent_ends_when_it_was_heard() -> None:
    world = answering()
    world.generation_complete()
    world.turn_complete()
    assert world.turns == [("caller", "Tell me a story.", False)]
    world.play(89)
    assert len(world.turns) == 1
    world.play(1)
    assert world.turns[1:] == [("agent", "Once upon a time there was a king.", False)]


def test_a_turn_that_was_heard_ends_when_it_is_complete() -> None:
    world = answering()
    world.play(90)
    assert not world.turns
    world.turn_complete()
    assert world.turns[1:] == [("agent", "Once upon a time there was a king.", False)]


def test_a_turn_that_is_cut_off_ends_at_what_was_heard() -> None:
    world = answering()
    world.play(40)
    world.floor(taken=True)
    world.interrupted()
    assert world.turns[1] == ("agent", "Once upon a time", True)
    world.turn_complete()
    world.end()
    assert len(world.turns) == 2


def test_the_end_of_the_call_ends_all_turns() -> None:
    world = answering()
    world.end()
    assert [who for who, _, _ in world.turns] == ["caller", "agent"]


# rule 3


def test_words_before_the_interruption_and_after_it_are_one_utterance() -> None:
    world = answering()
    world.generation_complete()  # which ends the caller's turn
    world.turn_complete()
    world.text("Then")
    world.now += 1.0
    world.floor(taken=True)
    world.now += 0.3
    world.words("Stop")
    world.interrupted()
    world.words(" please.")
    world.end()
    assert [text for who, text, _ in world.turns if who == "caller"] == ["Tell me a story.", "Stop please."]


@pytest.mark.parametrize("pause_s", [0.2, 5.0])
def test_words_after_an_interruption_are_another_turn_than_those_before_the_answer(pause_s: float) -> None:
    world = answering()
    world.now += pause_s
    world.floor(taken=True)
    world.now += 0.3
    world.interrupted()
    world.words("Stop")
    world.words(" please.")
    world.end()
    assert [text for who, text, _ in world.turns if who == "caller"] == ["Tell me a story.", "Stop please."]


def test_words_come_before_the_interruption_of_an_answer_that_began_long_ago() -> None:
    world = answering()
    world.now += 5.0
    world.floor(taken=True)
    world.now += 0.3
    world.words("Stop")
    world.interrupted()
    world.words(" please.")
    world.end()
    assert [text for who, text, _ in world.turns if who == "caller"] == ["Tell me a story.", "Stop please."]


def test_words_of_a_voice_that_is_too_quiet_for_the_level_are_another_turn_too() -> None:
    world = answering()
    world.now += 5.0
    world.interrupted()
    world.words("Stop please.")
    world.end()
    assert [text for who, text, _ in world.turns if who == "caller"] == ["Tell me a story.", "Stop please."]


def test_a_short_word_that_ends_before_the_interruption_stays_open() -> None:
    world = answering()
    world.now += 5.0
    world.floor(taken=True)
    world.words("Stop")
    world.now += 0.6
    world.floor(taken=False)
    world.interrupted()
    world.words(" please.")
    world.end()
    assert [text for who, text, _ in world.turns if who == "caller"] == ["Tell me a story.", "Stop please."]


def test_typing_ends_what_the_caller_was_saying() -> None:
    world = connected()
    world.words("I want")
    world.type("a pizza")
    assert [text for _, text, _ in world.turns] == ["I want", "a pizza"]


def test_the_model_says_that_the_caller_has_finished() -> None:
    world = connected()
    world.act(world.conversation.words_came(wire.InputTranscript("Hello.", finished=True), world.now))
    assert world.turns == [("caller", "Hello.", False)]


# rule 4


def test_no_turn_of_the_agent_ends_between_a_flush_and_its_result() -> None:
    world = answering()
    world.turn_complete()  # what is queued is all that keeps it open
    world.act(world.conversation.typed("Stop.", world.now, cuts=False))
    outcomes = world.conversation.interrupt(world.now)
    cuts, _fade = world.queue.flush(1)
    world.flushed.add(1)
    world.speaking = False
    world.act(world.conversation.speaking_changed(False, 1))
    assert not any(who == "agent" for who, _, _ in world.turns), "heard to its end, as it seems"
    assert outcomes[-1] == Flush(1)
    world.act(world.conversation.flushed(cuts))
    assert world.turns[1][2], "it was cut off"


# the agent's state


def test_an_agent_that_has_said_all_listens_even_if_its_turns_end_is_to_come() -> None:
    world = answering()
    world.generation_complete()
    states = [world.conversation.state]
    world.play(90)
    states.append(world.conversation.state)
    world.turn_complete()
    states.append(world.conversation.state)
    assert states == ["speaking", "listening", "listening"]


def test_an_agent_whose_voice_runs_dry_thinks() -> None:
    world = answering()
    world.play(90)
    assert world.conversation.state == "thinking"


def test_an_agent_thinks_while_its_whole_answer_waits_to_be_sent() -> None:
    world = connected()
    world.voice(5)
    world.generation_complete()
    assert world.conversation.state == "thinking"


# any order

FACTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 0.6, 2.0])),
        st.tuples(st.just("voice"), st.integers(1, 8)),
        st.tuples(st.just("play"), st.integers(1, 12)),
        st.tuples(
            st.sampled_from(["text", "words", "type", "type on"]), st.sampled_from(["a word", " and more", ""])
        ),
        st.tuples(
            st.sampled_from(
                [
                    *("interrupted", "generation complete", "turn complete", "lost", "ready", "hush"),
                    *("floor", "no floor", "tool", "no tool"),
                ]
            ),
            st.just(0),
        ),
    ),
    max_size=40,
)


def happen(world: World, what: str, value: float | str) -> None:
    """Let one fact of `FACTS` come."""
    text, count = str(value), int(value) if isinstance(value, int) else 0
    facts: dict[str, Callable[[], None]] = {
        "voice": lambda: world.voice(count),
        "play": lambda: world.play(count),
        "text": lambda: world.text(text),
        "words": lambda: world.words(text),
        "type": lambda: world.type(text or "typed"),
        "type on": lambda: world.type(text or "typed", cuts=False),
        "interrupted": world.interrupted,
        "hush": lambda: world.act(world.conversation.hush(world.now)),
        "generation complete": world.generation_complete,
        "turn complete": world.turn_complete,
        "lost": world.lose_session,
        "ready": world.connect,
        "floor": lambda: world.floor(taken=True),
        "no floor": lambda: world.floor(taken=False),
        "tool": lambda: world.tool(runs=True),
        "no tool": lambda: world.tool(runs=False),
    }
    if what == "wait":
        world.now += float(value)
    else:
        facts[what]()


@given(FACTS)
def test_each_turn_ends_once_and_not_before_it_was_heard_or_cut(
    facts: list[tuple[str, float | str]],
) -> None:
    world = connected()
    for what, value in facts:
        happen(world, what, value)
        world.now += 0.001
    world.end()
    begun = {
        each.turn_id for each in world.told if isinstance(each, events.AgentTranscribed | events.CallerTranscribed)
    }
    assert set(world.said) == begun, "each has ended, and `World` has seen that none did so twice"
    assert not world.conversation.transcript.open_generations()
