"""Who says what in a call, what of it was heard, and who owes whom an answer. Pure: no clock, no I/O, no log.

Facts go in with the time at which they came (``now``: monotonic seconds). What follows comes back in order, as
events to be told and as actions for the call to carry out.

Rules (those of one part alone stand in `agent.dialog`):
  1. What the model sends belongs to the generation that `Turns` says. What arrived of its voice, and what of that
     was heard, is counted per generation.
  2. A turn of the agent ends once, in one of three ways: its generation is complete and was heard to its end; it
     was cut off, and ends at what was heard; the call is over.
  3. A turn of the caller ends when the answer to it is complete or is cut off, when the model says so, when the
     caller types, and when the caller speaks again after words that came late. A cut does not end a turn whose
     words came after the caller took the floor: the rest of the utterance that cuts is still to come.
  4. Between a `Flush` and the `flushed` that tells what it threw away, no turn of the agent ends: that nothing is
     queued any more does not mean that it was heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from agent import events
from agent.call.outcomes import AnswerCompleted, Flush, Outcomes, ReplaceSession, TellWaiting
from agent.call.patience import watchdog_for
from agent.call.setup import AgentSetup
from agent.call.timeline import Timeline
from agent.dialog.asides import GENTLE_NUDGE, NUDGE, NUDGE_TO_WRITE
from agent.dialog.floor import Floor
from agent.dialog.response import ResponseTimer
from agent.dialog.transcript import Transcribed, Transcript
from agent.dialog.turns import Turns
from agent.dialog.watchdog import Alarm
from agent.live import wire
from agent.media.playout import Flushed
from agent.spoken import Spoken

STALE_TEXT_S = 1.5
"How old the caller's newest words are, at least, when what is said next is another turn."


class Queue(Protocol):
    """What waits to be heard; `Playout`."""

    @property
    def queued_samples(self) -> int: ...
    def queued_in(self, generation: int) -> int: ...


class OpenTools(Protocol):
    """The tools that run; `ToolCalls`."""

    @property
    def open(self) -> bool: ...


class Conversation:
    """The conversation of one call.

    Args:
        setup: of the agent.
        queue: what waits to be heard.
        tools: what runs.
        timeline: notes when the model answers.
        turns: of an earlier call that this one goes on from.
    """

    def __init__(
        self,
        setup: AgentSetup,
        queue: Queue,
        tools: OpenTools,
        timeline: Timeline,
        turns: Sequence[Spoken] = (),
    ) -> None:
        self.transcript = Transcript()
        for turn in turns:
            self.transcript.restore(turn)
        self.response = ResponseTimer()
        "How long the caller waits for answers."
        self.floor = Floor(marked=setup.marks_turns)
        self.caller_spoke_at = -math.inf
        "When the caller last began to say or typed something."
        self._queue = queue
        self._tools = tools
        self._timeline = timeline
        self._writes = not setup.settings.audio_output
        self._turns = Turns()
        self._watchdog = watchdog_for(setup)
        self._arrived_samples: dict[int, int] = {}  # of the voice, by generation with an open turn
        self._more_to_come = False  # of the newest generation
        self._caller_text_at = -math.inf
        self._floor_at = -math.inf  # when the caller last took the floor
        self._turn_reason: str | None = None
        self._told_turns = self.transcript.count  # when the model last completed a turn
        self._connected = False
        self._speaking = False  # the agent's voice is being sent
        self._cutting = False  # rule 4
        self._cuts_something = False  # and there was something to cut

    # what the conversation is at a moment

    @property
    def state(self) -> events.AgentState:
        """What the agent does."""
        if not self._connected:
            return "connecting"
        if self._speaking:
            return "speaking"
        thinks = self._has_to_say or self._tools.open or self._watchdog.owed
        return "thinking" if thinks and not self.floor.taken else "listening"

    @property
    def unanswered(self) -> int:
        """How often the model meant to say nothing to what the caller said."""
        return self._watchdog.unanswered

    @property
    def generation(self) -> int:
        """The newest generation; 0 before the first."""
        return self._turns.generation

    @property
    def turn_open(self) -> bool:
        """True from the model's first output until its turn is complete."""
        return self._turns.open

    @property
    def more_to_come(self) -> bool:
        """True while the model generates what is to be heard."""
        return self._more_to_come

    @property
    def answer_owed(self) -> bool:
        """True while the caller waits for an answer."""
        return self._watchdog.owed

    @property
    def quiet(self) -> bool:
        """True while nobody speaks, no answer is owed and no tool runs."""
        return not (self._turns.open or self._tools.open or self.floor.taken or self._watchdog.owed)

    def history(self, *, complete_only: bool) -> list[Spoken]:
        """Return who said what, as a session is told it.

        Args:
            complete_only: up to the model's last complete turn.
        """
        return self.transcript.history(self._told_turns if complete_only else None)

    def spoken(self) -> tuple[Spoken, ...]:
        """Return what was said so far, as tools see it."""
        return tuple(turn.said for turn in self.transcript.turns if not turn.said.noted)

    def caller_turns(self) -> list[tuple[str, str]]:
        """Return what the caller said and typed so far: the id and the words of each turn, open ones too."""
        turns = [turn for turn in self.transcript.in_order() if not turn.said.noted]
        return [(turn.turn_id, turn.said.text) for turn in turns if turn.said.speaker == "caller"]

    # the caller

    def floor_changed(self, now: float) -> Outcomes:
        """The caller took the floor, or gave it up; `floor` says which."""
        if not self.floor.taken:
            self._watchdog.caller_stopped(now)
            return [events.CallerStoppedSpeaking()]
        out: Outcomes = []
        if now - self._caller_text_at > STALE_TEXT_S:  # rule 3: what is said now is another turn
            out += self._finish_caller()
        self._watchdog.caller_started(now)
        self.caller_spoke_at = self._floor_at = now
        return [*out, events.CallerStartedSpeaking()]

    def typed(self, text: str, now: float, *, cuts: bool) -> Outcomes:
        """The caller typed something; with ``cuts`` it cuts off what the agent is saying."""
        self.caller_spoke_at = now
        out: Outcomes = [*self.transcript.typed(text)]
        if cuts:
            out += self.interrupt(now)
        self.response.caller_typed(now)
        self._watchdog.caller_asked(now)
        return out

    def asked(self, now: float) -> None:
        """The model was asked to speak in the caller's stead: an answer is owed from now on."""
        self._watchdog.caller_asked(now)

    def hush(self, now: float) -> Outcomes:
        """The caller wants the agent to be silent, and no answer; nothing follows if it is silent already."""
        if not (self._turns.generating or self._queue.queued_samples):
            return []
        out = self.interrupt(now, told=False)
        self.response.forget()
        return out

    def interrupt(self, now: float, *, told: bool = True) -> Outcomes:
        """Cut off what the agent is saying.

        Args:
            now: monotonic seconds.
            told: the model knows of it, see `Turns`.
        """
        self._watchdog.agent_interrupted(now)
        self.response.generations_cut()
        self._cuts_something = self._turns.generating or self._queue.queued_samples > 0
        answered = self._turns.generating and (not told or self._words_are_old(now))
        out: Outcomes = self._finish_caller() if answered else []  # rule 3
        self._cutting = True
        self._more_to_come = False
        return [*out, Flush(self._turns.cut(now, told=told))]

    def flushed(self, cuts: Sequence[Flushed]) -> Outcomes:
        """The voice was flushed: these generations were cut off."""
        self._cutting = False
        out: Outcomes = []
        for cut in cuts:
            if self._cuts_something:
                out.append(events.AgentInterrupted(cut.generation, cut.heard_samples, cut.dropped_samples))
            arrived = self._arrived_samples.pop(cut.generation, 0)
            out += _told_if(
                self.transcript.interrupt(cut.generation, cut.heard_samples, arrived, written=self._writes)
            )
        return [*out, *self._finish_heard()]

    # the model

    def message_came(self, now: float) -> None:
        """Any message of the Live server came; to be told before what it says."""
        self._watchdog.message_came(now)

    def life_came(self, at: float, slowest_pong_s: float) -> None:
        """Anything at all came of the Live server; see `Watchdog.life_came`."""
        self._watchdog.life_came(at, slowest_pong_s)

    def output_arrived(self, now: float) -> Outcomes:
        """Output of the model came: of `generation` from here on."""
        before = self._turns.generation
        generation = self._turns.output_arrived(now)
        if generation == before:
            return []
        self._more_to_come = True
        self.response.generation_started(generation, now)
        self._timeline.output_came(generation, now)
        return [*self._finish_heard(), events.GenerationStarted(generation)]

    def voice_arrived(self, samples: int, now: float, *, audible: bool) -> None:
        """Speech of the newest generation came: so many samples at 24 kHz, to be queued."""
        self._watchdog.agent_spoke(now, audible=audible)
        generation = self._turns.generation
        if generation not in self._arrived_samples:
            self._timeline.audio_came(generation, now)
        self._arrived_samples[generation] = self._arrived_samples.get(generation, 0) + samples

    def picture_arrived(self, now: float) -> None:
        """A picture of the newest generation came, which is an answer like words."""
        self._watchdog.agent_spoke(now, audible=True)

    def text_arrived(self, fact: wire.OutputTranscript | wire.Text, now: float) -> Outcomes:
        """Words of the agent came: what it says, or writes."""
        if isinstance(fact, wire.Text):
            self._watchdog.agent_wrote(now, fact.text)
        out = self.output_arrived(now)
        if not self._turns.generating:  # words of a generation that was cut are not heard
            return out
        generation = self._turns.generation
        arrived = self._arrived_samples.get(generation, 0)
        revision = self.transcript.add("agent", fact.text, generation=generation, arrived_samples=arrived)
        return [*out, *_told_if(revision), *(self.heard(generation, now) if self._writes else [])]

    def words_came(self, fact: wire.InputTranscript, now: float) -> Outcomes:
        """Words of the caller came."""
        self._caller_text_at = now
        self._watchdog.words_came(now)
        out = _told_if(self.transcript.add("caller", fact.text))
        if fact.words:
            out.append(events.CallerWordsTimed(fact.words))
        return [*out, *self._finish_caller()] if fact.finished else out

    def interrupted(self, now: float) -> Outcomes:
        """The model says that the caller has interrupted it."""
        self._watchdog.turn_cut()
        return self.interrupt(now)

    def generation_completed(self, *, caller_speaks: bool) -> Outcomes:
        """The model has no more to say in the newest generation.

        Args:
            caller_speaks: by the level of their voice; then it may not stay at that.
        """
        out: Outcomes = []
        generation = self._turns.generation
        wrote = self._writes and generation in self.transcript.open_generations()
        arrived = self._turns.generating and (wrote or self._arrived_samples.get(generation))
        if arrived and not caller_speaks and not self._tools.open:
            self._told_turns = self.transcript.count
            out.append(AnswerCompleted())
        return [*out, *self._complete_generation()]

    def turn_completed(self, reason: str | None, now: float) -> Outcomes:
        """The model's turn is complete.

        Args:
            reason: the server's ``turnCompleteReason``, if it gave one.
            now: monotonic seconds.
        """
        out: Outcomes = self._finish_caller() if self._turns.generating else []
        generation = self._turns.turn_completed()
        self._told_turns = self.transcript.count
        self._turn_reason = reason
        self._more_to_come = False
        out += self._finish_heard()
        out.append(events.TurnCompleted(generation, reason))
        return [*out, *self._act(self._watchdog.turn_completed(now, reason))]

    # the voice

    def speaking_changed(self, speaking: bool, generation: int) -> Outcomes:
        """The voice is sent from now on, or no longer.

        Args:
            speaking: it is.
            generation: the newest that speech was queued for.
        """
        self._speaking = speaking
        if speaking:
            return [events.AgentStartedSpeaking(generation)]
        return [*self._finish_heard(), events.AgentStoppedSpeaking(generation)]

    def heard(self, generation: int, now: float) -> Outcomes:
        """The first audible sample of a generation was sent."""
        response = self.response.heard(generation, now)
        if response is None:
            return []
        asked_at = now - response.seconds
        stages = self._timeline.responded(generation, asked_at, now, typed=response.typed)
        return [events.AgentResponded(generation, round(response.seconds * 1000), response.typed, stages)]

    # tools

    def tool_moved(self, event: events.ToolCalled | events.ToolFinished, now: float) -> None:
        """A tool was called, or has ended: while one runs the model need not speak."""
        if isinstance(event, events.ToolCalled):
            self._watchdog.pause("tools", now)
        elif not self._tools.open:
            self._watchdog.proceed("tools", now)

    def tool_answered(self, *, silent: bool) -> None:
        """The model is told how a tool ended; ``silent``: it is not to speak of it."""
        self._watchdog.tool_answered(silent=silent)

    # sessions

    def session_ready(self, now: float) -> None:
        """There is a Live session, the first or another."""
        self._connected = True
        self._watchdog.proceed("session", now)

    def session_ended(self, now: float) -> Outcomes:
        """The Live session is over. The voice that is queued plays on; what is owed to the caller is owed still."""
        self._watchdog.pause("session", now)
        self.transcript.expect_again()
        if not self._turns.session_ended():
            return []
        out = self._complete_generation() if self._more_to_come else []
        return [*out, *self._finish_heard(), events.TurnCompleted(self._turns.generation, "session_ended")]

    # time

    def tick(self, now: float) -> Outcomes:
        """Say what an agent that is silent has to be asked; to be called about twice a second."""
        return self._act(self._watchdog.tick(now))

    def end(self) -> Outcomes:
        """End all turns, because the call is over."""
        out = self._finish_caller()
        for generation in self.transcript.open_generations():
            out += _told_if(self.transcript.finish("agent", generation))
        return out

    @property
    def _has_to_say(self) -> bool:
        """Whether more of the newest generation will be heard; its turn may end after its last sample."""
        return self._turns.generating and (self._more_to_come or self._queue.queued_in(self._turns.generation) > 0)

    def _words_are_old(self, now: float) -> bool:
        """Tell whether the caller's newest words are not those that they are saying now."""
        if self._caller_text_at < self._floor_at:
            return True
        return not self.floor.taken and now - self._caller_text_at > STALE_TEXT_S

    def _finish_caller(self) -> Outcomes:
        return _told_if(self.transcript.finish("caller"))

    def _complete_generation(self) -> Outcomes:
        self._more_to_come = False
        self._turns.generation_completed()
        out: Outcomes = self._finish_caller() if self._turns.generating else []
        return [*out, events.GenerationCompleted(self._turns.generation)]

    def _finish_heard(self) -> Outcomes:
        """End the agent's turns that are complete and were heard to their end."""
        out: Outcomes = []
        for generation in () if self._cutting else self.transcript.open_generations():
            complete = generation < self._turns.generation or not self._turns.open
            if complete and not self._queue.queued_in(generation):
                self._arrived_samples.pop(generation, None)
                out += _told_if(self.transcript.finish("agent", generation))
        return out

    def _act(self, alarm: Alarm | None) -> Outcomes:
        """Do something about an agent that does not answer."""
        if alarm is None:
            return []
        text = GENTLE_NUDGE if alarm.gentle else NUDGE_TO_WRITE if self._writes else NUDGE
        nudge = text if alarm.nudge else None
        out: Outcomes = [events.AgentFellSilent(alarm.cause, alarm.step, self._turn_reason)]
        if alarm.step in ("resume", "rebuild"):
            out.append(ReplaceSession(alarm.step == "rebuild", nudge))
        elif nudge is not None:
            out.append(TellWaiting(nudge))
        return out


def _told_if(transcribed: Transcribed | None) -> Outcomes:
    return [] if transcribed is None else [transcribed]
