"""Who says what in a call, how much of it was heard, and who owes an answer. Pure: no clock, no I/O, no logging.

Facts go in with the time at which they arrived (``now``: monotonic seconds). The outcomes come back in order:
events to tell the observers, and actions for the call to carry out.

Rules (those that concern a single part are in `agent.dialog`):
  1. What the model sends belongs to the generation that `Turns` returns. The samples of its voice that arrived and
     those that were heard are counted per generation.
  2. A turn of the agent ends once, in one of three ways: its generation is complete and was heard to the end; it
     was cut off, and ends at what was heard; or the call is over.
  3. A turn of the caller ends when the answer to it is complete or is cut off, when the model says so, when the
     caller types, and when the caller speaks again after words that came late. A cut does not end a turn whose
     words came after the caller took the floor: the rest of the interrupting utterance is still to come.
  4. Between a `Flush` and the `flushed` that reports what was discarded, no turn of the agent ends: an empty queue
     does not mean then that everything was heard.
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
"Once the caller's newest words are older than this, what the caller says next is a new turn."


class Queue(Protocol):
    """The speech that waits to be sent; implemented by `Playout`."""

    @property
    def queued_samples(self) -> int: ...
    def queued_in(self, generation: int) -> int: ...


class OpenTools(Protocol):
    """Tells whether tools are running; implemented by `ToolCalls`."""

    @property
    def open(self) -> bool: ...


class Conversation:
    """The conversation of one call.

    Args:
        setup: how the agent is set up.
        queue: the speech that waits to be sent.
        tools: the tools that are running.
        timeline: records when the model answers.
        turns: the turns of an earlier call that this one continues.
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
        "When the caller last began to speak or typed something."
        self._queue = queue
        self._tools = tools
        self._timeline = timeline
        self._writes = not setup.settings.audio_output
        self._turns = Turns()
        self._watchdog = watchdog_for(setup)
        self._arrived_samples: dict[int, int] = {}  # samples of voice by generation, for open turns
        self._more_to_come = False  # the newest generation is not complete
        self._caller_text_at = -math.inf
        self._floor_at = -math.inf  # when the caller last took the floor
        self._turn_reason: str | None = None
        self._told_turns = self.transcript.count  # turns that had begun when the model last completed one
        self._connected = False
        self._speaking = False  # the agent's voice is being sent
        self._cutting = False  # rule 4
        self._cuts_something = False  # the cut under way stops generation or queued speech

    # the current state

    @property
    def state(self) -> events.AgentState:
        """What the agent is doing."""
        if not self._connected:
            return "connecting"
        if self._speaking:
            return "speaking"
        thinks = self._has_to_say or self._tools.open or self._watchdog.owed
        return "thinking" if thinks and not self.floor.taken else "listening"

    @property
    def unanswered(self) -> int:
        """How often the model chose not to answer the caller."""
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
        """True while the model is generating output for the caller."""
        return self._more_to_come

    @property
    def answer_owed(self) -> bool:
        """True while the caller waits for an answer."""
        return self._watchdog.owed

    @property
    def quiet(self) -> bool:
        """True while nobody is speaking, no answer is owed and no tool is running."""
        return not (self._turns.open or self._tools.open or self.floor.taken or self._watchdog.owed)

    def history(self, *, complete_only: bool) -> list[Spoken]:
        """Return who said what, in the form in which a session is told.

        Args:
            complete_only: stop at the model's last complete turn.
        """
        return self.transcript.history(self._told_turns if complete_only else None)

    def spoken(self) -> tuple[Spoken, ...]:
        """Return the finished turns so far, without notes, as tools see them."""
        return tuple(turn.said for turn in self.transcript.turns if not turn.said.noted)

    def caller_turns(self) -> list[tuple[str, str]]:
        """Return the id and the words of each turn that the caller spoke or typed so far, including open ones."""
        turns = [turn for turn in self.transcript.in_order() if not turn.said.noted]
        return [(turn.turn_id, turn.said.text) for turn in turns if turn.said.speaker == "caller"]

    # the caller

    def floor_changed(self, now: float) -> Outcomes:
        """The caller took the floor or gave it up, as `floor` says."""
        if not self.floor.taken:
            self._watchdog.caller_stopped(now)
            return [events.CallerStoppedSpeaking()]
        out: Outcomes = []
        if now - self._caller_text_at > STALE_TEXT_S:  # rule 3: what the caller says now is a new turn
            out += self._finish_caller()
        self._watchdog.caller_started(now)
        self.caller_spoke_at = self._floor_at = now
        return [*out, events.CallerStartedSpeaking()]

    def typed(self, text: str, now: float, *, cuts: bool) -> Outcomes:
        """The caller typed something; with ``cuts`` this cuts off what the agent is saying."""
        self.caller_spoke_at = now
        out: Outcomes = [*self.transcript.typed(text)]
        if cuts:
            out += self.interrupt(now)
        self.response.caller_typed(now)
        self._watchdog.caller_asked(now)
        return out

    def asked(self, now: float) -> None:
        """The model was asked to speak on the caller's behalf, so that an answer is owed from now on."""
        self._watchdog.caller_asked(now)

    def hush(self, now: float) -> Outcomes:
        """The caller wants silence and no answer; return nothing if the agent is already silent."""
        if not (self._turns.generating or self._queue.queued_samples):
            return []
        out = self.interrupt(now, told=False)
        self.response.forget()
        return out

    def interrupt(self, now: float, *, told: bool = True) -> Outcomes:
        """Cut off what the agent is saying.

        Args:
            now: monotonic seconds.
            told: whether the model knows of it, see `Turns`.
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
        """The voice was flushed, which cut off these generations."""
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
        """A message came from the Live server; call this before handling its contents."""
        self._watchdog.message_came(now)

    def life_came(self, at: float, slowest_pong_s: float) -> None:
        """Something came from the Live server, even if only a pong; see `Watchdog.life_came`."""
        self._watchdog.life_came(at, slowest_pong_s)

    def output_arrived(self, now: float) -> Outcomes:
        """Output of the model arrived; `generation` then names the generation that it belongs to."""
        before = self._turns.generation
        generation = self._turns.output_arrived(now)
        if generation == before:
            return []
        self._more_to_come = True
        self.response.generation_started(generation, now)
        self._timeline.output_came(generation, now)
        return [*self._finish_heard(), events.GenerationStarted(generation)]

    def voice_arrived(self, samples: int, now: float, *, audible: bool) -> None:
        """Speech of the newest generation arrived and is about to be queued: ``samples`` samples at 24 kHz."""
        self._watchdog.agent_spoke(now, audible=audible)
        generation = self._turns.generation
        if generation not in self._arrived_samples:
            self._timeline.audio_came(generation, now)
        self._arrived_samples[generation] = self._arrived_samples.get(generation, 0) + samples

    def picture_arrived(self, now: float) -> None:
        """A picture of the newest generation arrived; it counts as an answer, as words do."""
        self._watchdog.agent_spoke(now, audible=True)

    def text_arrived(self, fact: wire.OutputTranscript | wire.Text, now: float) -> Outcomes:
        """Words that the agent speaks or writes arrived."""
        if isinstance(fact, wire.Text):
            self._watchdog.agent_wrote(now, fact.text)
        out = self.output_arrived(now)
        if not self._turns.generating:  # words of a generation that was cut off are not heard
            return out
        generation = self._turns.generation
        arrived = self._arrived_samples.get(generation, 0)
        revision = self.transcript.add("agent", fact.text, generation=generation, arrived_samples=arrived)
        return [*out, *_told_if(revision), *(self.heard(generation, now) if self._writes else [])]

    def words_came(self, fact: wire.InputTranscript, now: float) -> Outcomes:
        """A transcript of the caller's words arrived."""
        self._caller_text_at = now
        self._watchdog.words_came(now)
        out = _told_if(self.transcript.add("caller", fact.text))
        if fact.words:
            out.append(events.CallerWordsTimed(fact.words))
        return [*out, *self._finish_caller()] if fact.finished else out

    def interrupted(self, now: float) -> Outcomes:
        """The model reports that the caller has interrupted it."""
        self._watchdog.turn_cut()
        return self.interrupt(now)

    def generation_completed(self, *, caller_speaks: bool) -> Outcomes:
        """The model has nothing more to say in the newest generation.

        Args:
            caller_speaks: whether the caller is speaking, by level; the answer may then still be cut off.
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
        """The agent's voice began or ceased to be sent.

        Args:
            speaking: whether it is being sent now.
            generation: the newest generation for which speech was queued.
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
        """A tool was called or has ended; while one is running, the model need not speak."""
        if isinstance(event, events.ToolCalled):
            self._watchdog.pause("tools", now)
        elif not self._tools.open:
            self._watchdog.proceed("tools", now)

    def tool_answered(self, *, silent: bool) -> None:
        """The model is told a tool's result; ``silent`` means that it is asked not to speak about it."""
        self._watchdog.tool_answered(silent=silent)

    # sessions

    def session_ready(self, now: float) -> None:
        """A Live session, the first or a later one, is ready."""
        self._connected = True
        self._watchdog.proceed("session", now)

    def session_ended(self, now: float) -> Outcomes:
        """The Live session is over. Queued speech still plays, and an owed answer is still owed."""
        self._watchdog.pause("session", now)
        self.transcript.expect_again()
        if not self._turns.session_ended():
            return []
        out = self._complete_generation() if self._more_to_come else []
        return [*out, *self._finish_heard(), events.TurnCompleted(self._turns.generation, "session_ended")]

    # time

    def tick(self, now: float) -> Outcomes:
        """Return what to do about an agent that stays silent; call this about twice a second."""
        return self._act(self._watchdog.tick(now))

    def end(self) -> Outcomes:
        """End all turns, because the call is over."""
        out = self._finish_caller()
        for generation in self.transcript.open_generations():
            out += _told_if(self.transcript.finish("agent", generation))
        return out

    @property
    def _has_to_say(self) -> bool:
        """Whether more of the newest generation will be heard; its turn may end later than its last sample."""
        return self._turns.generating and (self._more_to_come or self._queue.queued_in(self._turns.generation) > 0)

    def _words_are_old(self, now: float) -> bool:
        """Return whether the caller's newest transcribed words belong to an earlier utterance."""
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
        """End the agent's turns that are complete and were heard to the end."""
        out: Outcomes = []
        for generation in () if self._cutting else self.transcript.open_generations():
            complete = generation < self._turns.generation or not self._turns.open
            if complete and not self._queue.queued_in(generation):
                self._arrived_samples.pop(generation, None)
                out += _told_if(self.transcript.finish("agent", generation))
        return out

    def _act(self, alarm: Alarm | None) -> Outcomes:
        """Return what to do about an agent that does not answer."""
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
