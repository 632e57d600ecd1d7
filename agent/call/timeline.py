"""When what happened in a call: how long its set-up took, and what each answer of the agent was waited for. Pure.

Instants are monotonic seconds; one of them is also known as Unix time, so that all can be told to others. How long
the caller waited, and from when, is the response timer's to say (`agent.dialog.response`); here that time is only
divided. Rules:

  1. The stages of a response are disjoint, leave nothing out, and add up to the response time:
     uplink    from the end of the caller's words as they arrived until the last was sent to the Live server;
     model     from then to the first output of the answer, less the tools;
     tools     while at least one tool ran in that time;
     voice     from the first output, often words, to the first sound, and the silence that the answer begins with;
     downlink  from that sound's arrival to the first packet of it that is sent.
  2. An instant that is missing, or comes before the one it should follow, takes that one's place: its stage is 0.
  3. The stages of the set-up follow each other in the same way, though the Live session is set up beside the media:
     answer, media (until DTLS is done), agent (until the Live session is there), first_audio (until the agent is
     heard, if it begins the call: else the caller's own pause would count).
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

Instant = Literal[
    "offer", "answer", "ice", "dtls", "first_rtp", "live_connecting", "live_ready", "first_agent_audio"
]
"""The instants of the set-up: the caller's description came and ours was ready, ICE and DTLS are done, the first
audio packet came, the Live session is connecting and ready, the first packet of the agent's voice was sent."""


@dataclass(slots=True)
class TurnMarks:
    """The instants of one generation of the agent; None for what did not happen.

    Attributes:
        generation: which one.
        output_at: its first output came.
        sent_at: the last of the caller's words before it was sent to the Live server.
        words_at: the first transcript of these words came.
        asked_at: the caller's words had ended, see `agent.dialog.response`; None if it answers nothing.
        typed: they were typed.
        audio_at: its first sound came.
        packet_at: the first packet of it was sent.
        heard_at: the first audible sample was sent.
        last_packet_at: the last packet of it was sent.
        cut_heard_samples: how much of it was sent, at 24 kHz, if it was cut off.
        stages: of the wait for it.
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
    """When a tool was called and when that ended.

    Attributes:
        key: the `call_id` of `events.ToolCalled`.
        name: the tool's.
        began_at: it was called.
        ended_at: it was answered or cancelled; None while it runs.
        outcome: as in `events.ToolFinished`.
    """

    key: str
    name: str
    began_at: float
    ended_at: float | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something else that happened.

    Attributes:
        at: when.
        kind: ``go_away``, ``session_lost``, ``session_replaced``, ``context_lost``, ``agent_silent`` or
            ``call_ended``.
        detail: in this order: the seconds left, the fault, how it was replaced, nothing, the step, the reason.
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
    """Divide a response time; see the rules above.

    Args:
        asked_at: the caller's words had ended.
        heard_at: the first audible sample of the answer was sent.
        sent_at: the last of the words was sent to the Live server.
        output_at: the first output of the answer came.
        audio_at: its first sound came; None if it only writes.
        packet_at: the first packet of it was sent.
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
        question_sent_at: returns when the last of what the caller said or typed was sent; None if it waits.
    """

    def __init__(
        self,
        now: float = 0.0,
        unix_now: float = 0.0,
        question_sent_at: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.instants: dict[Instant, float] = {}
        "When the set-up came how far."
        self.turns: deque[TurnMarks] = deque(maxlen=MAX_TURNS)
        "Oldest first; so are the next two."
        self.tools: deque[ToolMarks] = deque(maxlen=MAX_TOOLS)
        self.marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self.last_stages: Stages | None = None
        "Of the newest answer."
        self._began_at = now
        self._unix_offset_s = unix_now - now
        self._question_sent_at = question_sent_at
        self._caller_first = False  # the caller said something before the agent did
        self._words_at: float | None = None  # of words that no generation has followed yet
        self._caller_began = False  # to speak, since the newest generation began
        self._cut_at: float | None = None  # the voice was flushed, and its last packet is still to be sent

    def unix(self, at: float) -> float:
        """Return an instant of this call as Unix time."""
        return at + self._unix_offset_s

    # the set-up

    def reach(self, instant: Instant, now: float) -> None:
        """Note an instant of the set-up; only the first time counts."""
        self.instants.setdefault(instant, now)

    @property
    def began_at(self) -> float:
        """The call's first instant."""
        return min(self._began_at, self.instants.get("offer", self._began_at))

    def set_up(self) -> SetUpStages:
        """Return how long the stages of the set-up took; None for those that are not over."""
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
        """The first output of a generation came."""
        self.turns.append(TurnMarks(generation, now, self._question_sent_at(), self._words_at))
        self._words_at, self._caller_began = None, False

    def audio_came(self, generation: int, now: float) -> None:
        """Sound of a generation came."""
        turn = self._turn(generation)
        if turn is not None and turn.audio_at is None:
            turn.audio_at = now

    def packet_sent(self, generation: int, now: float) -> None:
        """The first packet of a generation is sent; what was before it is over."""
        for turn in reversed(self.turns):
            if turn.generation == generation and turn.packet_at is None:
                turn.packet_at = now
            elif turn.generation < generation:
                if turn.packet_at is not None and turn.last_packet_at is None:
                    turn.last_packet_at = now
                return

    def responded(self, generation: int, asked_at: float, now: float, *, typed: bool) -> Stages:
        """The first audible sample of an answer is sent, or its first words of one that only writes.

        Args:
            generation: the answer.
            asked_at: since when the caller had waited.
            now: monotonic seconds.
            typed: the caller had typed.
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
        """The last packet of what was cut off is sent; return how many seconds that took."""
        cut_at, self._cut_at = self._cut_at, None
        if cut_at is None:
            return None
        for turn in reversed(self.turns):
            if turn.cut_heard_samples is not None:
                turn.last_packet_at = now
                break
        return now - cut_at

    def note(self, event: events.Event, now: float) -> None:
        """Take note of what happened just now."""
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
            case _:
                self._mark(event, now)

    def tool_s(self, key: str) -> float | None:
        """Return how long a tool took that has ended; None if that is not known any more."""
        tool = self._tool(key)
        return None if tool is None or tool.ended_at is None else tool.ended_at - tool.began_at

    def to_json(self) -> list[dict[str, Any]]:
        """Return all of it as JSON can hold it, oldest first: no word of what was said.

        Each entry has a ``name`` and ``at_ms``. The names are ``turn``, ``tool``, those of the instants of set-up
        and of `Mark`, and ``set_up``, which has its stages. All times are Unix ms; what did not happen is null.
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
        return sorted([set_up, *instants, *turns, *tools, *marks], key=itemgetter("at_ms"))

    def _turn(self, generation: int) -> TurnMarks | None:
        return next((turn for turn in reversed(self.turns) if turn.generation == generation), None)

    def _tool(self, key: str) -> ToolMarks | None:
        return next((tool for tool in reversed(self.tools) if tool.key == key), None)

    def _words_came(self, now: float) -> None:
        """Words of the caller came: to the newest answer, if it began before them, or to the next."""
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
