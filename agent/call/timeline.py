"""The timeline of a call: how long its set-up took, and what the caller waited for before each answer. Pure.

Instants are monotonic seconds; one of them is also known as Unix time, so that all can be converted. The response
timer (`agent.dialog.response`) measures how long the caller waited, and from when; here that time is only divided
into stages. Rules:

  1. The stages of a response are disjoint, leave nothing out, and add up to the response time:
     uplink    from the end of the caller's words, as they arrived, until the last was sent to the Live server;
     model     from then to the first output of the answer, without the time in tools;
     tools     the part of that time in which at least one tool was running;
     voice     from the first output, often words, to the first sound, plus the silence that begins the answer;
     downlink  from the arrival of that sound until its first packet is sent.
  2. An instant that is missing, or earlier than the one it should follow, is set to that one: its stage is 0.
  3. The stages of the set-up follow each other in the same way, although the Live session is set up in parallel
     with the media: answer, media (until DTLS is done), agent (until the Live session is ready), first_audio (until
     the agent is heard, only if it speaks first: otherwise the caller's own pause would count).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, Literal

from agent import events
from agent.events import SetUpStages, Stages

MAX_TURNS = 1000
MAX_TOOLS = 1000
MAX_MARKS = 1000
MAX_WINDOWS = 1000

Instant = Literal[
    "offer", "answer", "ice", "dtls", "first_rtp", "live_connecting", "live_ready", "first_agent_audio"
]
"""The instants of the set-up: the caller's description arrived, ours was ready, ICE and DTLS were done, the first
audio packet arrived, the Live session was connecting and ready, the first packet of the agent's voice was sent."""


@dataclass(slots=True)
class TurnMarks:
    """The instants of one generation of the agent; None for what did not happen.

    Attributes:
        generation: the generation's number.
        output_at: when its first output arrived.
        sent_at: when the last of the caller's words before it were sent to the Live server.
        words_at: when the first transcript of these words arrived.
        asked_at: when the caller's words ended, see `agent.dialog.response`; None if it answers nothing.
        typed: whether the words were typed.
        audio_at: when its first sound arrived.
        packet_at: when its first packet was sent.
        heard_at: when its first audible sample was sent.
        last_packet_at: when its last packet was sent.
        cut_heard_samples: if it was cut off, how many samples of it were sent, at 24 kHz.
        stages: the stages of the wait for it.
    """

    generation: int
    output_at: float
    sent_at: float | None = None
    words_at: float | None = None
    asked_at: float | None = None
    typed: bool = False
    audio_at: float | None = None
    packet_at: float | None = None
    heard_at: float | None = None
    last_packet_at: float | None = None
    cut_heard_samples: int | None = None
    stages: Stages | None = None


@dataclass(slots=True)
class ToolMarks:
    """When a tool was called and when the call ended.

    Attributes:
        key: the `call_id` of `events.ToolCalled`.
        name: the tool's name.
        began_at: when it was called.
        ended_at: when it was answered or cancelled; None while it is running.
        outcome: as in `events.ToolFinished`.
    """

    key: str
    name: str
    began_at: float
    ended_at: float | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Another event in the call.

    Attributes:
        at: when it happened.
        kind: ``go_away``, ``session_lost``, ``session_replaced``, ``context_lost``, ``agent_silent`` or
            ``call_ended``.
        detail: for these kinds, in this order: the seconds left, the fault, how the session was replaced, an empty
            string, the step, the reason.
    """

    at: float
    kind: str
    detail: str


def stages_of(
    asked_at: float,
    heard_at: float,
    *,
    sent_at: float | None,
    output_at: float | None,
    audio_at: float | None,
    packet_at: float | None,
    tools: Iterable[tuple[float, float]] = (),
) -> Stages:
    """Divide a response time into its stages, see the rules above.

    Args:
        asked_at: when the caller's words ended.
        heard_at: when the first audible sample of the answer was sent.
        sent_at: when the last of the words were sent to the Live server.
        output_at: when the first output of the answer arrived.
        audio_at: when its first sound arrived; None if the agent only writes.
        packet_at: when its first packet was sent.
        tools: when each tool began and ended, in any order.
    """
    heard = max(asked_at, heard_at)

    def after(earlier: float, instant: float | None, missing: float) -> float:
        return min(max(earlier, missing if instant is None else instant), heard)

    output = after(asked_at, output_at, heard)
    sent = min(after(asked_at, sent_at, asked_at), output)
    audio = after(output, audio_at, heard)
    packet = after(audio, packet_at, heard)
    in_tools = _covered(tools, sent, output)
    parts_s = (
        sent - asked_at,
        output - sent - in_tools,
        in_tools,
        audio - output + heard - packet,
        packet - audio,
    )
    ends_ms = [_ms(end) for end in accumulate(parts_s, initial=0.0)]  # rounded, so that the stages still add up
    return Stages(*(round(end - begin, 1) for begin, end in pairwise(ends_ms)))


class Timeline:
    """The timeline of one call.

    Args:
        now: monotonic seconds.
        unix_now: the same instant as Unix time.
        question_sent_at: returns when the last of what the caller said or typed was sent; None if it still waits.
    """

    def __init__(
        self,
        now: float = 0.0,
        unix_now: float = 0.0,
        question_sent_at: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.instants: dict[Instant, float] = {}
        "When each instant of the set-up was reached."
        self.turns: deque[TurnMarks] = deque(maxlen=MAX_TURNS)
        "Generations, oldest first; `tools` and `marks` are in the same order."
        self.tools: deque[ToolMarks] = deque(maxlen=MAX_TOOLS)
        self.marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self.quality: deque[tuple[float, events.QualityEstimated]] = deque(maxlen=MAX_WINDOWS)
        "The estimates of how well caller and agent heard each other, each with the end of its window."
        self.last_stages: Stages | None = None
        "The stages of the newest answer."
        self._began_at = now
        self._unix_offset_s = unix_now - now
        self._question_sent_at = question_sent_at
        self._caller_first = False  # the caller said something before the agent did
        self._words_at: float | None = None  # when words arrived that no generation has followed yet
        self._caller_began = False  # the caller has said or typed something since the newest generation began
        self._cut_at: float | None = None  # the voice was flushed, and its last packet is still to be sent

    def unix(self, at: float) -> float:
        """Return an instant of this call as Unix time."""
        return at + self._unix_offset_s

    # the set-up

    def reach(self, instant: Instant, now: float) -> None:
        """Record an instant of the set-up; only the first time counts."""
        self.instants.setdefault(instant, now)

    @property
    def began_at(self) -> float:
        """The call's first instant."""
        return min(self._began_at, self.instants.get("offer", self._began_at))

    def set_up(self) -> SetUpStages:
        """Return how long each stage of the set-up took; None for those that are not over."""
        at = self.instants.get
        ends = {
            "answer_ms": at("answer"),
            "media_ms": at("dtls"),
            "agent_ms": at("live_ready"),
            "first_audio_ms": None if self._caller_first else at("first_agent_audio"),
        }
        took_ms: dict[str, float] = {}
        last = at("offer", self._began_at)
        for name, end in ends.items():
            if end is None:
                break
            took_ms[name] = _ms(max(0.0, end - last))
            last = max(last, end)
        return SetUpStages(**took_ms)

    # the turns

    def output_came(self, generation: int, now: float) -> None:
        """The first output of a generation arrived."""
        self.turns.append(TurnMarks(generation, now, self._question_sent_at(), self._words_at))
        self._words_at, self._caller_began = None, False

    def audio_came(self, generation: int, now: float) -> None:
        """Sound of a generation arrived."""
        turn = self._turn(generation)
        if turn is not None and turn.audio_at is None:
            turn.audio_at = now

    def packet_sent(self, generation: int, now: float) -> None:
        """The first packet of a generation was sent, so that the generation before it is over."""
        for turn in reversed(self.turns):
            if turn.generation == generation and turn.packet_at is None:
                turn.packet_at = now
            elif turn.generation < generation:
                if turn.packet_at is not None and turn.last_packet_at is None:
                    turn.last_packet_at = now
                return

    def responded(self, generation: int, asked_at: float, now: float, *, typed: bool) -> Stages:
        """The first audible sample of an answer was sent, or its first words if the agent only writes.

        Args:
            generation: the answer's generation.
            asked_at: when the caller began to wait.
            now: monotonic seconds.
            typed: whether the caller had typed.
        """
        turn = self._turn(generation) or TurnMarks(generation, now)
        turn.asked_at, turn.heard_at, turn.typed = asked_at, now, typed
        turn.stages = self.last_stages = stages_of(
            asked_at,
            now,
            sent_at=turn.sent_at,
            output_at=turn.output_at,
            audio_at=turn.audio_at,
            packet_at=turn.packet_at,
            tools=[(each.began_at, now if each.ended_at is None else each.ended_at) for each in self.tools],
        )
        return turn.stages

    def faded(self, now: float) -> float | None:
        """The last packet of speech that was cut off was sent; return the seconds since the cut, None if no cut."""
        cut_at, self._cut_at = self._cut_at, None
        if cut_at is None:
            return None
        for turn in reversed(self.turns):
            if turn.cut_heard_samples is not None:
                turn.last_packet_at = now
                break
        return now - cut_at

    def note(self, event: events.Event, now: float) -> None:
        """Record an event that has just happened."""
        match event:
            case events.AgentReady():
                self.reach("live_ready", now)
            case events.CallerStartedSpeaking() | events.KeyPressed() | events.CallerTranscribed(typed=True):
                self._caller_began = True
                self._caller_first |= "first_agent_audio" not in self.instants
            case events.CallerTranscribed():
                self._words_came(now)
            case events.AgentStartedSpeaking():
                self.reach("first_agent_audio", now)
            case events.AgentStoppedSpeaking(generation):
                self._stopped(generation, now)
            case events.AgentInterrupted(generation, heard_samples):
                self._cut(generation, heard_samples, now)
            case events.ToolCalled(key, name):
                self.tools.append(ToolMarks(key, name, now))
            case events.ToolFinished(key, outcome=outcome):
                self._tool_ended(key, outcome, now)
            case events.QualityEstimated():
                self.quality.append((now, event))
            case _:
                self._mark(event, now)

    def tool_s(self, key: str) -> float | None:
        """Return how long a tool call took, in seconds; None if it has not ended or is no longer known."""
        tool = self._tool(key)
        return None if tool is None or tool.ended_at is None else tool.ended_at - tool.began_at

    def to_json(self) -> list[dict[str, Any]]:
        """Return the timeline as JSON values, oldest first, without any of the words that were said.

        Each entry has a ``name`` and ``at_ms``. The names are ``turn``, ``tool``, ``quality`` (at the end of its
        window), the instants of the set-up, the kinds of `Mark`, and ``set_up``, which contains the stages of the
        set-up. All times are Unix milliseconds; what did not happen is null.
        """

        def at_ms(instant: float | None) -> float | None:
            return None if instant is None else _ms(self.unix(instant))

        set_up = {"name": "set_up", "at_ms": at_ms(self.began_at), "stages": asdict(self.set_up())}
        instants = [{"name": name, "at_ms": at_ms(instant)} for name, instant in self.instants.items()]
        turns = [
            {
                "name": "turn",
                "at_ms": at_ms(turn.output_at),
                "generation": turn.generation,
                "typed": turn.typed,
                "asked_ms": at_ms(turn.asked_at),
                "sent_ms": at_ms(turn.sent_at),
                "words_ms": at_ms(turn.words_at),
                "audio_ms": at_ms(turn.audio_at),
                "packet_ms": at_ms(turn.packet_at),
                "heard_ms": at_ms(turn.heard_at),
                "last_packet_ms": at_ms(turn.last_packet_at),
                "cut_heard_samples": turn.cut_heard_samples,
                "stages": None if turn.stages is None else asdict(turn.stages),
            }
            for turn in self.turns
        ]
        tools = [
            {
                "name": "tool",
                "at_ms": at_ms(tool.began_at),
                "ended_ms": at_ms(tool.ended_at),
                "key": tool.key,
                "tool": tool.name,
                "outcome": tool.outcome,
            }
            for tool in self.tools
        ]
        marks = [{"name": mark.kind, "at_ms": at_ms(mark.at), "detail": mark.detail} for mark in self.marks]
        quality = [{"name": "quality", "at_ms": at_ms(at), **asdict(window)} for at, window in self.quality]
        return sorted([set_up, *instants, *turns, *tools, *marks, *quality], key=itemgetter("at_ms"))

    def _turn(self, generation: int) -> TurnMarks | None:
        return next((turn for turn in reversed(self.turns) if turn.generation == generation), None)

    def _tool(self, key: str) -> ToolMarks | None:
        return next((tool for tool in reversed(self.tools) if tool.key == key), None)

    def _words_came(self, now: float) -> None:
        """Assign a transcript of the caller to the newest answer if it began before the words, else to the next."""
        newest = self.turns[-1] if self.turns else None
        if newest is not None and not self._caller_began:
            if newest.words_at is None:
                newest.words_at = now
        elif self._words_at is None:
            self._words_at = now

    def _stopped(self, generation: int, now: float) -> None:
        turn = self._turn(generation)
        if turn is not None and turn.packet_at is not None:
            turn.last_packet_at = now

    def _cut(self, generation: int, heard_samples: int, now: float) -> None:
        self._cut_at = now
        turn = self._turn(generation)
        if turn is not None:
            turn.cut_heard_samples = heard_samples
            if turn.packet_at is not None:
                turn.last_packet_at = now

    def _tool_ended(self, key: str, outcome: str, now: float) -> None:
        tool = self._tool(key)
        if tool is not None and tool.ended_at is None:
            tool.ended_at, tool.outcome = now, outcome

    def _mark(self, event: events.Event, now: float) -> None:
        match event:
            case events.SessionEnding(time_left_s):
                self.marks.append(Mark(now, "go_away", f"{time_left_s:g} s"))
            case events.SessionLost(fault=fault):
                self.marks.append(Mark(now, "session_lost", fault))
            case events.SessionReplaced(resumed):
                self.marks.append(Mark(now, "session_replaced", "resumed" if resumed else "rebuilt"))
            case events.AgentFellSilent(step=step):
                self.marks.append(Mark(now, "agent_silent", step))
            case events.ContextLost():
                self.marks.append(Mark(now, "context_lost", ""))
            case events.CallEnded(reason):
                self.marks.append(Mark(now, "call_ended", reason))


def _covered(spans: Iterable[tuple[float, float]], begin: float, end: float) -> float:
    """Return how much of the time between two instants is covered by at least one span."""
    covered, reached = 0.0, begin
    for first, last in sorted(spans):
        first, last = max(first, reached), min(last, end)
        if last > first:
            covered += last - first
            reached = last
    return covered


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
