"""How long the caller waits for the agent: the one figure that page, metrics and a call's record show. Pure.

Rules:
  1. It runs from the end of what the caller said, as it arrived here, to the first audible sample of the answer
     that is sent. The end is the last frame that is loud enough to be speech; the speaking events come 0.6 s later.
     It is found by level, so noise shifts it: a faint last syllable beneath loud noise counts as silence.
  2. What was typed counts from its arrival.
  3. A caller who marks their turns (push-to-talk) has finished with the last loud frame between the marks; with the
     end mark, if no frame was loud.
  4. An answer is a generation that began after the caller had finished. What the agent was saying already, and goes
     on to say while the caller talks or after it, is none; nor is a generation that begins in the middle of the
     caller's words.
  5. A generation that was cut off before anything of it was heard has answered nothing: the caller waits on.
  6. A question has one answer, within `ANSWERS_WITHIN_S`: what the agent says later it says for another reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

STILL_SPEAKING_S = 0.06  # a loud frame was less than this ago: the caller is in the middle of a word
ANSWERS_WITHIN_S = 30.0
MAX_UNHEARD = 8  # generations that wait to be heard; usually it is one


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that began to be heard.

    Attributes:
        seconds: how long the caller had waited for it.
        typed: the caller had typed, not spoken.
    """

    seconds: float
    typed: bool


@dataclass(frozen=True, slots=True)
class _Question:
    ended_at: float
    typed: bool = False
    marked: bool = False  # its end was


class ResponseTimer:
    """Time the agent's answers in one call."""

    def __init__(self) -> None:
        self.count = 0
        "Answers that were timed."
        self.last_s: float | None = None
        "How long the newest one took; None before the first."
        self._question: _Question | None = None  # that no generation has begun to answer
        self._answers: deque[tuple[int, _Question]] = deque(maxlen=MAX_UNHEARD)  # by generation, not heard yet

    def caller_spoke(self, now: float) -> None:
        """A loud frame of the caller's speech arrived."""
        self._question = _Question(now)

    def caller_typed(self, now: float) -> None:
        """Something that the caller typed arrived."""
        self._question = _Question(now, typed=True)

    def turn_marked(self, now: float, *, starts: bool) -> None:
        """The caller marked where they begin or end to speak."""
        if starts:
            self._question = None
        else:
            ended_at = now if self._question is None else self._question.ended_at
            self._question = _Question(ended_at, marked=True)

    def generation_started(self, generation: int, now: float) -> None:
        """The first output of a generation arrived."""
        question = self._question
        if question is None:
            return
        whole = question.typed or question.marked or now - question.ended_at >= STILL_SPEAKING_S
        if whole:
            self._question = None
            self._answers.append((generation, question))

    def generations_cut(self) -> None:
        """All that was not heard yet was cut off."""
        if self._answers and self._question is None:
            self._question = self._answers[-1][1]
        self._answers.clear()

    def forget(self) -> None:
        """The caller wants no answer to what they said so far."""
        self._question = None
        self._answers.clear()

    def heard(self, generation: int, now: float) -> Response | None:
        """The first audible sample of a generation is sent; return the figure, if it is an answer."""
        question = None
        while self._answers and self._answers[0][0] <= generation:
            question = self._answers.popleft()[1]
        if question is None or now - question.ended_at > ANSWERS_WITHIN_S:
            return None
        self.count += 1
        self.last_s = now - question.ended_at
        return Response(self.last_s, question.typed)
