"""What came of a scenario. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["passed", "failed", "skipped"]
Who = Literal["caller", "agent", "service"]


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What came of one step, or of one field of an expectation.

    Attributes:
        line: of the step in its file.
        what: the step in words.
        state: whether it holds; `skipped` if the call was over before it.
        detail: by which figure or words.
        at_s: when it was decided, since the scenario began.
    """

    line: int
    what: str
    state: State
    detail: str
    at_s: float


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened.

    Attributes:
        at_s: since the scenario began.
        who: `caller`, `agent` or `service`.
        what: in words.
    """

    at_s: float
    who: Who
    what: str


@dataclass(slots=True)
class Outcome:
    """What came of a scenario.

    Attributes:
        name: of the scenario.
        steps: in order.
        timeline: in order.
        took_s: how long it took.
        error: why it could not be played at all; None if it was.
        late_ms: by how much this machine was late with a packet of the caller's voice, at worst.
        recording: the file with the sound of the call; None if there is none.
    """

    name: str
    steps: list[StepOutcome] = field(default_factory=list)
    timeline: list[TimelineEntry] = field(default_factory=list)
    took_s: float = 0.0
    error: str | None = None
    late_ms: float = 0.0
    recording: str | None = None

    @property
    def passed(self) -> bool:
        """True if it was played, and everything holds."""
        return self.error is None and all(step.state == "passed" for step in self.steps)


def exit_code(outcomes: list[Outcome]) -> int:
    """Return 0 if all hold, 1 if some do not, 2 if some could not be played."""
    if any(outcome.error is not None for outcome in outcomes):
        return 2
    return 0 if all(outcome.passed for outcome in outcomes) else 1
