"""What is known of one call of a load test, by its caller: plain values that other processes can be sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from signaling.load.hearing import Talk

COMPLETED = "completed"
STOPPED = "stopped"
"The call went on when the test ended; it counts as set up, but neither as completed nor as failed."


@dataclass(slots=True)
class Turn:
    """The caller said or did something.

    Attributes:
        started_at: when the first loud packet left.
        ended_at: when the last loud packet left, or the text was typed.
        wants_reply: an answer is waited for; one that does not come is missing.
        barges_in: it was said into an answer of the agent's.
        within_s: how long the caller waits for the answer.
        text: what was said; empty if it is not known.
    """

    started_at: float
    ended_at: float
    wants_reply: bool = False
    barges_in: bool = False
    within_s: float = 15.0
    text: str = ""


@dataclass(slots=True)
class CallRecord:
    """One call; times are monotonic seconds, None for what did not happen.

    Attributes:
        number: of the call in the test, from 0.
        scenario: its name.
        offered_at: the offer was sent.
        answered_at: the answer came.
        connected_at: media could flow.
        first_packet_at: the first packet of the agent's voice came.
        ended_at: the call was over.
        outcome: `COMPLETED`, `STOPPED`, or why it failed, such as "refused 503" or "dropped".
        detail: a sentence about a failure, for people; untrusted.
        turns: what the caller said and did.
        talks: what the agent said.
        gaps: where the agent's speech broke off.
        received: packets of the agent's.
        lost: packets of the agent's that did not come.
        bursts: in how many pieces they were lost.
        late: packets that came too late.
        jitter_ms: of the agent's packets, RFC 3550.
        network_ms: delay that the caller's own network adds, both ways.
        stages: of each answer of which the service told it: the turn, and how many milliseconds of its response
            time the model, its tools and its voice took.
        greeting_missing: the caller waited for a greeting that did not come.
        words: how many the caller said, in turns that were transcribed.
        words_missing: how many of them are not in the transcript.
        unmet: expectations of the scenario that did not hold, one sentence each.
        marks: other moments of the call, for the timeline.
    """

    number: int
    scenario: str
    offered_at: float
    answered_at: float | None = None
    connected_at: float | None = None
    first_packet_at: float | None = None
    ended_at: float | None = None
    outcome: str = ""
    detail: str = ""
    turns: list[Turn] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    gaps: list[Talk] = field(default_factory=list)
    received: int = 0
    lost: int = 0
    bursts: int = 0
    late: int = 0
    jitter_ms: float = 0.0
    network_ms: float = 0.0
    stages: list[tuple[int, float]] = field(default_factory=list)
    greeting_missing: bool = False
    words: int = 0
    words_missing: int = 0
    unmet: list[str] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)

    @property
    def set_up(self) -> bool:
        """True if caller and agent could hear each other."""
        return self.first_packet_at is not None
