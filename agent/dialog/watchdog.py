"""Notice an agent that owes an answer and does not give one, and say what to try next.

Rules:
  1. An answer is owed for what the caller typed, and for words of the caller that the model transcribed; without
     transcripts, for half a second of speech. A cough owes nothing.
  2. Audible speech of the agent pays the debt; so does an interruption, which is followed by new words. Sound too
     faint to be heard pays nothing. While the caller speaks or a tool runs, time does not count.
  3. A debt that stands for `answer_timeout_s`, or a turn that completes without anything to hear, takes one step on
     the ladder: nudge the model, resume the session, build a fresh one, apologise. Each step gets the same time. A
     session from which nothing at all came is not nudged: nobody is there to listen.
  4. Speech that is followed by no message whatever may have been noise, or may have been said to a dead
     connection: the session is resumed once, and no more for a while.
  5. While there is no session, time does not count, and starts anew with the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cause = Literal["no_answer", "empty_turn", "inaudible", "no_message"]
Pause = Literal["session", "tools"]
Step = Literal["nudge", "resume", "rebuild", "apologise"]

LADDER: tuple[Step, ...] = ("nudge", "resume", "rebuild", "apologise")
LEAST_SPEECH_S = 0.5  # rule 1
QUIET_AFTER_NOISE_S = 60.0  # rule 4


@dataclass(frozen=True, slots=True)
class Alarm:
    """The agent is silent.

    Attributes:
        cause: ``no_answer`` in time, ``empty_turn``, ``inaudible`` speech, or ``no_message`` at all.
        step: what to try.
        nudge: tell the model, too, that the caller waits.
    """

    cause: Cause
    step: Step
    nudge: bool


class Watchdog:
    """Watch one call.

    Args:
        answer_timeout_s: seconds that an answer may take; 0 never calls for a step.
        transcribed: words of the caller are transcribed by the model.
    """

    def __init__(self, answer_timeout_s: float, *, transcribed: bool) -> None:
        self._timeout_s = answer_timeout_s
        self._transcribed = transcribed
        self._due: float | None = None  # when a step is taken; None: nothing is owed
        self._pauses: set[Pause] = {"session"}  # until the first one is ready
        self._next_step = 0
        self._message_at = 0.0
        self._speech_began: float | None = None
        self._spoke_at = 0.0  # the caller, last
        self._paid_at = 0.0
        self._noise_due: float | None = None
        self._noise_allowed_at = 0.0
        self._audible = False  # something of the current turn was
        self._spoke = False  # some sound of the current turn came
        self._cut = False  # the current turn is complete as it is

    @property
    def owed(self) -> bool:
        """True while the caller waits for an answer."""
        return self._due is not None

    def caller_started(self, now: float) -> None:
        """The caller speaks, by level."""
        self._speech_began = self._spoke_at = now

    def caller_stopped(self, now: float) -> None:
        """The caller has fallen silent, by level."""
        spoke_s = 0.0 if self._speech_began is None else now - self._speech_began
        self._speech_began = None
        self._spoke_at = now
        if self._due is not None:
            self._due = now + self._timeout_s
        elif spoke_s < LEAST_SPEECH_S:
            return
        elif not self._transcribed:
            self._owe(now)
        elif now >= self._noise_allowed_at and self._noise_due is None:
            self._noise_due = now + self._timeout_s

    def caller_asked(self, now: float) -> None:
        """The caller typed something."""
        self._owe(now)

    def words_came(self, now: float) -> None:
        """Words of the caller were transcribed; they may come late, when they are answered already."""
        if self._speech_began is not None or self._spoke_at > self._paid_at:
            self._owe(now)

    def message_came(self, now: float) -> None:
        """Any message of the server."""
        self._message_at = now
        self._noise_due = None

    def agent_spoke(self, now: float, *, audible: bool) -> None:
        """Speech of the agent arrived."""
        self._spoke = True
        if audible:
            self._audible = True
            self._pay(now)

    def agent_interrupted(self, now: float) -> None:
        """The caller cut the agent off."""
        self._pay(now)

    def turn_cut(self) -> None:
        """The server has cut the turn; its end follows, and says nothing of what was asked since."""
        self._cut = True

    def turn_completed(self, now: float) -> Alarm | None:
        """The model's turn is complete; return what to do if something was to be heard in it and was not."""
        audible, spoke = self._audible, self._spoke
        cut, self._cut = self._cut, False
        self._audible = self._spoke = False
        if self._due is None or audible or cut or self._pauses or self._speech_began is not None:
            return None
        return self._strike(now, "inaudible" if spoke else "empty_turn")

    def pause(self, why: Pause, now: float) -> None:
        """There is no session, or a tool runs: time does not count."""
        self._pauses.add(why)
        self._message_at = now
        if why == "session":  # the rest of its turn will not come
            self._audible = self._spoke = self._cut = False

    def proceed(self, why: Pause, now: float) -> None:
        """There is a session again, or the tools have answered: time starts anew."""
        self._pauses.discard(why)
        self._message_at = now
        self._noise_due = None
        if self._due is not None:
            self._due = now + self._timeout_s

    def tick(self, now: float) -> Alarm | None:
        """Return what to do now, if anything; to be asked about twice a second."""
        if self._timeout_s <= 0 or self._pauses or self._speech_began is not None:
            return None
        if self._due is not None and now >= self._due:
            return self._strike(now, "no_answer")
        if self._noise_due is not None and now >= self._noise_due:
            self._noise_due = None
            self._noise_allowed_at = now + QUIET_AFTER_NOISE_S
            return Alarm("no_message", "resume", nudge=False)
        return None

    def _owe(self, now: float) -> None:
        if self._due is None:
            self._next_step = 0
        self._due = now + self._timeout_s
        self._noise_due = None

    def _pay(self, now: float) -> None:
        self._paid_at = now
        self._due = None
        self._noise_due = None
        self._next_step = 0

    def _strike(self, now: float, cause: Cause) -> Alarm | None:
        """Take the next step of the ladder (rule 3)."""
        if self._timeout_s <= 0:
            return None
        waits_since = now if self._due is None else self._due - self._timeout_s
        dead = self._message_at <= waits_since and cause == "no_answer"
        if dead and self._next_step == 0:
            self._next_step = 1
            cause = "no_message"
        step = LADDER[self._next_step]
        self._next_step += 1
        self._due = now + self._timeout_s
        if step == "apologise":
            self._pay(now)
        return Alarm(cause, step, nudge=step == "nudge" or (step in ("resume", "rebuild") and not dead))
