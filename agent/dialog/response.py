"""Measures how long the caller waits for the agent, as shown by the page, the metrics and the call record. Pure.

Rules:
  1. It is the time from the end of what the caller said, as it arrived here, to the first audible sample of the
     answer that is sent. The end is the last frame that is loud enough to be speech; the speaking events come 0.6 s
     later. It is found by level, so noise shifts it: a faint last syllable below loud noise counts as silence.
  2. For typed text the time begins when it arrives.
  3. A caller who marks turns (push-to-talk) has finished with the last loud frame between the marks, or with the
     end mark if no frame was loud.
  4. An answer is a generation that begins after the caller has finished. Speech that the agent had already begun,
     and continues during or after the caller's words, is not an answer, nor is a generation that begins in the
     middle of the caller's words.
  5. A generation that is cut off before any of it is heard answers nothing: the caller keeps waiting.
  6. A question has one answer, which comes within `MAX_WAIT_S`: what the agent says later has another reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

STILL_SPEAKING_S = 0.06  # if a loud frame was less than this ago, the caller is in the middle of a word
MAX_WAIT_S = 30.0
MAX_UNHEARD_GENERATIONS = 8  # usually there is one


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that began to be heard.

    Attributes:
        seconds: how long the caller had waited for it.
        typed: whether the caller had typed instead of spoken.
    """

    seconds: float
    typed: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    """A generation that answers the caller."""

    generation: int
    asked_at: float
    typed: bool


class ResponseTimer:
    """Times the agent's answers in one call."""

    def __init__(self) -> None:
        self.count = 0
        "Answers that were timed."
        self.last_s: float | None = None
        "How long the newest one took; None before the first."
        self._asked_at: float | None = None  # when the newest unanswered words were said or typed
        self._typed = False  # they were typed
        self._whole = False  # they are known to be complete: typed, or their end was marked
        self._answers: deque[_Answer] = deque(maxlen=MAX_UNHEARD_GENERATIONS)  # not heard yet, oldest first

    def caller_spoke(self, now: float) -> None:
        """A loud frame of the caller's speech arrived."""
        self._asked_at = now
        self._typed = self._whole = False

    def caller_typed(self, now: float) -> None:
        """Something that the caller typed arrived."""
        self._asked_at = now
        self._typed = self._whole = True

    def turn_marked(self, now: float, *, starts: bool) -> None:
        """The caller marked the beginning or end of a turn."""
        if starts:
            self._asked_at = None
        else:
            self._asked_at = now if self._asked_at is None else self._asked_at
            self._typed, self._whole = False, True

    def generation_started(self, generation: int, now: float) -> None:
        """The first output of a generation arrived."""
        asked_at = self._asked_at
        if asked_at is not None and (self._whole or now - asked_at >= STILL_SPEAKING_S):
            self._asked_at = None
            self._answers.append(_Answer(generation, asked_at, self._typed))

    def generations_cut(self) -> None:
        """Everything that had not been heard yet was cut off."""
        if self._answers and self._asked_at is None:
            self._asked_at, self._typed, self._whole = self._answers[-1].asked_at, self._answers[-1].typed, True
        self._answers.clear()

    def forget(self) -> None:
        """The caller no longer wants an answer to what they said."""
        self._asked_at = None
        self._answers.clear()

    def heard(self, generation: int, now: float) -> Response | None:
        """The first audible sample of a generation was sent; return the response time if it is an answer."""
        answer = None
        while self._answers and self._answers[0].generation <= generation:
            answer = self._answers.popleft()
        if answer is None or now - answer.asked_at > MAX_WAIT_S:
            return None
        self.count += 1
        self.last_s = now - answer.asked_at
        return Response(self.last_s, answer.typed)
