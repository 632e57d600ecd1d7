"""Notice when the agent owes the caller an answer and does not give one, and decide what to try next.

Rules:
  1. An answer is owed for typed text and for words of the caller that the model transcribed; without transcripts,
     for half a second of speech. Nothing is owed for a cough.
  2. The debt is paid by sound that the caller can hear, or by text if the agent writes. An interruption pays it
     too, since new words follow. Sound that is too faint to hear does not.
  3. A model may choose to say nothing: to speech, if its settings let it ignore some, and to anything after a
     tool's answer was SILENT. A turn that completes with nothing in it settles such a debt, and is counted. It does
     not if the server reports that something went wrong, or if a tool's answer is to be spoken of.
  4. If a debt is not paid within `answer_timeout_s`, or any other turn completes without anything to hear, the next
     step of the ladder is taken: nudge the model, resume the session, build a new one, apologise. Each step gets
     the same time. A session from which nothing at all came is not nudged: nobody is there to listen.
  5. The time runs from the end of the caller's first unanswered words. Speech that continues after a short pause
     belongs to them. If the caller asks again after a pause in which an answer should have come, the time still
     runs from the first words. No step is taken while the caller speaks, nor before there has been such a pause.
  6. If no message at all follows speech, it may have been noise, or the connection may be dead: the session is
     resumed once, and then not again for a while.
  7. If nothing comes from the server while the caller speaks or types, not even a pong, it is considered dead after
     `dead_after_s`, or twice the time of its slowest pong if that is longer. The next step is then taken, whoever
     is speaking.
  8. While there is no session, or a tool runs, the time does not count; it starts again afterwards.
  9. It takes `hangover_s` to notice that the caller has fallen silent. A turn that completes in that time is judged
     at its end; a turn that completes while the caller is speaking is not judged at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Cause = Literal["no_answer", "empty_turn", "inaudible", "no_message"]
Pause = Literal["session", "tools"]
Step = Literal["nudge", "resume", "rebuild", "apologise"]

LADDER: tuple[Step, ...] = ("nudge", "resume", "rebuild", "apologise")
MIN_SPEECH_S = 0.5  # rule 1
HARMLESS_REASONS = (None, "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT")  # rule 3
LATE_WORDS_S = 3.0  # words that come within this time after speech are taken to be part of it
QUIET_AFTER_NOISE_S = 60.0  # rule 6


@dataclass(frozen=True, slots=True)
class Alarm:
    """The agent is silent although it owes an answer.

    Attributes:
        cause: ``no_answer`` in time, ``empty_turn``, ``inaudible`` speech, or ``no_message`` at all.
        step: what to try.
        nudge: whether to tell the model that the caller is waiting.
        gentle: the model may have chosen to say nothing, and still may.
    """

    cause: Cause
    step: Step
    nudge: bool
    gentle: bool = False


@dataclass(slots=True)
class _Debt:
    """An answer that is owed.

    Attributes:
        since: anything from the server after this shows that it is alive.
        due: when the next step is taken.
        fixed: more speech does not postpone it (rule 5).
        ignorable: the model may ignore what was said (rule 3).
        silenced: a tool's answer was SILENT, and no other answer is to be spoken of (rule 3).
        promised: a tool's answer is to be spoken of.
    """

    since: float
    due: float
    ignorable: bool
    fixed: bool = False
    silenced: bool = False
    promised: bool = False

    @property
    def gentle(self) -> bool:
        return self.ignorable or self.silenced


class Watchdog:
    """Watches one call.

    Args:
        answer_timeout_s: seconds that an answer may take; with 0 no step is ever taken.
        transcribed: whether the model transcribes the caller's words.
        ignores_speech: whether the model may ignore speech that is not meant for it.
        writes: whether the agent writes instead of speaking.
        answerable_pause_s: silence of the caller after which the model should have begun to answer.
        hangover_s: how long the caller has already been silent when `caller_stopped` is called.
        dead_after_s: see rule 7; it must be longer than the server takes to answer a ping.
    """

    def __init__(
        self,
        answer_timeout_s: float,
        *,
        transcribed: bool,
        ignores_speech: bool = False,
        writes: bool = False,
        answerable_pause_s: float = 1.0,
        hangover_s: float = 0.0,
        dead_after_s: float = math.inf,
    ) -> None:
        self.unanswered = 0
        "Debts that the model chose to leave unpaid (rule 3)."
        self._timeout_s = answer_timeout_s
        self._transcribed = transcribed
        self._ignores_speech = ignores_speech
        self._writes = writes
        self._answerable_pause_s = answerable_pause_s
        self._hangover_s = hangover_s
        self._dead_after_s = dead_after_s
        self._debt: _Debt | None = None
        self._pauses: set[Pause] = {"session"}  # until the first one is ready
        self._next_step = 0
        self._message_at = 0.0
        self._speech_began: float | None = None
        self._spoke_at = 0.0  # when the caller last spoke
        self._said_at = 0.0  # when the caller last spoke or typed
        self._paid_at = 0.0
        self._unheard_since: float | None = None  # when the caller spoke or typed without a sign of life since
        self._noise_due: float | None = None
        self._noise_allowed_at = 0.0
        self._turn_open = False
        self._audible = False  # something audible came in the current turn
        self._spoke = False  # some sound came in the current turn
        self._cut = False  # the server has cut the current turn
        self._unjudged: tuple[float, Cause, str | None] | None = None  # a completed turn to be judged (rule 9)
        self._verdict: Cause | None = None  # the judgement on it

    @property
    def owed(self) -> bool:
        """True while the caller is waiting for an answer."""
        return self._debt is not None

    def caller_started(self, now: float) -> None:
        """The caller has begun to speak, by level."""
        self._says_more(now)
        self._speech_began = self._spoke_at = now
        self._unjudged = None

    def caller_stopped(self, now: float) -> None:
        """The caller has fallen silent, by level."""
        began, self._speech_began = self._speech_began, None
        ended = now - self._hangover_s
        self._spoke_at = self._said_at = ended
        cough = began is None or now - began < MIN_SPEECH_S
        if began is not None and self._unheard_since is not None:
            nothing_since = self._unheard_since > max(began, ended)
            if nothing_since or (cough and self._unheard_since >= began):
                self._unheard_since = None
        if self._debt is not None:
            if not self._debt.fixed:
                self._debt.due = ended + self._timeout_s
        elif not cough and not self._transcribed:
            if self._paid_at < ended:  # otherwise the answer has already begun
                self._owe(ended, since=ended)
        elif not cough and self._message_at < ended and now >= self._noise_allowed_at and self._noise_due is None:
            self._noise_due = ended + self._timeout_s
        self._judge_late(now, ended)

    def caller_asked(self, now: float) -> None:
        """The caller typed something, or the model was asked directly to speak in some other way."""
        self._says_more(now)
        debt = self._owe(now, since=now)
        if not debt.fixed:
            debt.due = now + self._timeout_s
        debt.ignorable = debt.silenced = debt.promised = False

    def words_came(self, now: float) -> None:
        """Words of the caller were transcribed; they may come so late that they are already answered."""
        if self._speech_began is not None:
            self._owe(now, since=self._speech_began)
        elif self._spoke_at > self._paid_at:
            late = now - self._spoke_at < LATE_WORDS_S
            if self._debt is None:
                self._owe(self._spoke_at if late else now, since=self._spoke_at)
            elif not late and not self._debt.fixed:  # the voice was too quiet for the level
                self._debt.due = now + self._timeout_s

    def message_came(self, now: float) -> None:
        """Any message came from the server."""
        self._message_at = now
        self._noise_due = None
        self.life_came(now)

    def life_came(self, at: float, slowest_pong_s: float = 0.0) -> None:
        """Anything came from the server, even a pong (rule 7); may be reported late and repeatedly.

        Args:
            at: when it last came.
            slowest_pong_s: how long the slowest pong took.
        """
        self._dead_after_s = max(self._dead_after_s, 2 * slowest_pong_s)
        if "session" in self._pauses:  # the next session is being set up and has not heard the caller yet
            return
        if self._unheard_since is not None and at > self._unheard_since:
            self._unheard_since = None if self._speech_began is None else at
            if self._debt is None:
                self._next_step = 0

    def agent_spoke(self, now: float, *, audible: bool) -> None:
        """Speech of the agent arrived."""
        self._turn_open = self._spoke = True
        if audible:
            self._audible = True
            self._pay(now)

    def agent_wrote(self, now: float, text: str) -> None:
        """Text that the agent does not speak arrived; it counts only if the agent writes."""
        if self._writes:
            self.agent_spoke(now, audible=bool(text.strip()))

    def agent_interrupted(self, now: float) -> None:
        """The caller cut the agent off."""
        self._pay(now)

    def tool_answered(self, *, silent: bool) -> None:
        """A tool's answer was told to the model; call this before `proceed`."""
        if self._debt is None:
            return
        if not silent:
            self._debt.promised = True
            self._debt.ignorable = False
        self._debt.silenced = not self._debt.promised

    def turn_cut(self) -> None:
        """The server has cut the turn; its end, which follows, says nothing about what was asked since."""
        self._cut = True

    def turn_completed(self, now: float, reason: str | None = None) -> Alarm | None:
        """The model's turn is complete; return what to do if it should have been heard and was not.

        Args:
            now: monotonic seconds.
            reason: the server's ``turnCompleteReason``, if it gave one.
        """
        audible = self._audible
        cause: Cause = "inaudible" if self._spoke else "empty_turn"
        cut, self._cut = self._cut, False
        self._turn_open = self._audible = self._spoke = False
        self._unjudged = None
        if audible or cut or self._pauses:
            return None
        if self._speech_began is not None:
            self._unjudged = now, cause, reason
            return None
        return self._strike(now, cause) if self._is_fault(now, cause, reason) else None

    def pause(self, why: Pause, now: float) -> None:
        """There is no session, or a tool is running: time does not count."""
        self._pauses.add(why)
        self._message_at = now
        self._turn_open = why == "tools"
        if why == "session":  # the rest of its turn will never come
            self._audible = self._spoke = self._cut = False
            self._unjudged = self._verdict = None

    def proceed(self, why: Pause, now: float) -> None:
        """There is a session again, or the tools have answered: time starts again."""
        self._pauses.discard(why)
        self._message_at = now
        self._noise_due = None
        if self._unheard_since is not None:
            self._unheard_since = now
        if self._debt is None:
            return
        if self._debt.silenced and not self._turn_open and not self._pauses:
            self._leave(now)
            return
        self._debt.since = now
        self._debt.due = now + self._timeout_s

    def tick(self, now: float) -> Alarm | None:
        """Return what to do now, if anything; call it about twice a second."""
        if self._timeout_s <= 0 or self._pauses:
            return None
        if self._unheard_since is not None and now - self._unheard_since >= self._dead_after_s:
            return self._strike(now, "no_message", dead=True)
        if self._speech_began is not None:
            return None
        debt, verdict = self._debt, self._verdict
        self._verdict = None
        if debt is not None and verdict is not None:
            return self._strike(now, verdict)
        if debt is not None and now >= max(debt.due, self._said_at + self._answerable_pause_s):
            return self._strike(now, "no_answer", dead=self._message_at <= debt.since)
        if self._noise_due is not None and now >= self._noise_due:
            self._noise_due = None
            self._noise_allowed_at = now + QUIET_AFTER_NOISE_S
            if self._unheard_since is None:  # the server is alive: no second attempt
                self._next_step = 0
            return self._strike(now, "no_message", dead=True)
        return None

    def _is_fault(self, now: float, cause: Cause, reason: str | None) -> bool:
        """Judge a turn in which nothing was heard; settle the debt if that was intended (rule 3)."""
        harmless = cause == "empty_turn" and reason in HARMLESS_REASONS
        if self._debt is None:
            if harmless and self._ignores_speech:  # the words that it ignored may still come
                self._paid_at = now
            return False
        if harmless and self._debt.gentle:
            self._leave(now)
            return False
        return True

    def _judge_late(self, now: float, ended: float) -> None:
        """Judge a turn that completed after the caller had fallen silent but before that was noticed (rule 9)."""
        if self._unjudged is not None:
            (at, cause, reason), self._unjudged = self._unjudged, None
            if at >= ended and self._is_fault(now, cause, reason):
                self._verdict = cause

    def _says_more(self, now: float) -> None:
        """The caller began to say something, or typed it (rules 5 and 7)."""
        if self._debt is not None and now - self._said_at >= self._answerable_pause_s:
            self._debt.fixed = True
        self._said_at = now
        if self._unheard_since is None:
            self._unheard_since = now

    def _owe(self, now: float, *, since: float) -> _Debt:
        """Return the open debt, or a new one; an existing debt keeps its own time (rule 5)."""
        self._noise_due = None
        if self._debt is None:
            self._next_step = 0
            self._debt = _Debt(since, now + self._timeout_s, self._ignores_speech)
        return self._debt

    def _pay(self, now: float) -> None:
        self._paid_at = now
        self._debt = None
        self._verdict = None
        self._noise_due = None
        self._next_step = 0

    def _leave(self, now: float) -> None:
        """Settle a debt that the model chose to leave unpaid (rule 3)."""
        self.unanswered += 1
        self._pay(now)

    def _strike(self, now: float, cause: Cause, *, dead: bool = False) -> Alarm | None:
        """Take the next step of the ladder (rule 4)."""
        if self._timeout_s <= 0:
            return None
        if dead and self._next_step == 0:
            self._next_step = 1
            cause = "no_message"
        step = LADDER[self._next_step]
        self._next_step += 1
        gentle = self._debt is not None and self._debt.gentle and cause == "no_answer"
        if self._unheard_since is not None:
            self._unheard_since = now
        if self._debt is not None:
            self._debt.since = now
            self._debt.due = now + self._timeout_s
            self._debt.fixed = True
        if step == "apologise":
            self._unheard_since = None
            self._pay(now)
        nudge = step == "nudge" or (step in ("resume", "rebuild") and not dead)
        return Alarm(cause, step, nudge, gentle and nudge)
