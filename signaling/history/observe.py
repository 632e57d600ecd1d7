"""Turn the events of calls into items of the history.

A `CallKeeper` observes one call on the loop's thread and never waits: `History` queues what it is given. Times are
the start of the call plus monotonic time, so that setting the system clock does not reorder a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agent import events
from agent.clock import Clock, unix
from agent.summary import CallSummarised
from signaling.dialects.mask import redacted
from signaling.history.history import History
from signaling.history.record import CallEnd, CallStart, Summary, ToolUse, Turn
from signaling.history.recordings import RecordingKeeper
from signaling.webrtc.leg import Leg


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a call so far.

    Attributes:
        interruptions: how often the agent's speech was cut off.
        cost_usd: by the price list; None if the model's price is not known.
        tokens: token counts by direction and modality.
        stats: those of the call's counters that are not 0.
        marks: what happened when, as `agent.call.timeline.Timeline.to_json` returns it.
        mos_in: estimated mean opinion score of the caller's audio, 1 to 5; None if none was received.
        mos_out: the same for the audio that the caller received.
    """

    interruptions: int = 0
    cost_usd: float | None = None
    tokens: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[Mapping[str, Any]] = ()
    mos_in: float | None = None
    mos_out: float | None = None


class SummaryKeeper:
    """Keeps the summaries of ended calls.

    Args:
        history: takes the summaries.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._calls: dict[str, CallStart] = {}

    def watch(self, start: CallStart) -> None:
        """Expect a call's summary."""
        self._calls[start.call_id] = start

    def note(self, call_id: str, said: CallSummarised) -> None:
        """Take a call's summary; for `Summaries.observers`."""
        start = self._calls.pop(call_id, None)
        if start is not None:
            summary = Summary(
                state=said.state,
                model=said.model,
                summary=said.summary,
                data=said.data,
                reason=said.reason,
                detail=said.detail,
                cost_usd=said.cost_usd,
            )
            self._history.summary(start, summary)


def watcher_of(
    history: History, recordings: RecordingKeeper, summaries: SummaryKeeper | None = None, clock: Clock = unix
) -> Callable[[Leg], None]:
    """Return a watcher that has each new call kept; for `Calls.watchers`.

    Args:
        history: takes what happens in the calls.
        recordings: is told of calls that are recorded.
        summaries: is told of calls that will be summarised; None if none will be.
        clock: Unix seconds; read once per call.
    """

    def watch(leg: Leg) -> None:
        call = leg.call
        began_s = clock() - call.duration_s
        start = start_of_call(leg, round(began_s * 1000))
        keeper = CallKeeper(
            history, start, lambda: round((began_s + call.duration_s) * 1000), lambda: figures_of(leg)
        )
        call.observe(keeper.note)
        if summaries is not None:
            summaries.watch(start)
        if call.recording is not None:
            recordings.watch(start, call.recording.over)

    return watch


def start_of_call(leg: Leg, started_ms: int) -> CallStart:
    """Return what is known about a call when it begins.

    Args:
        leg: carries the call.
        started_ms: when it began, in Unix milliseconds.
    """
    call = leg.call
    phone = leg.describe().get("phone", {})
    return CallStart(
        call_id=call.call_id,
        started_ms=started_ms,
        model=call.model,
        direction="outbound" if phone.get("direction") == "outbound" else "inbound",
        caller=phone.get("caller") or call.caller,
        callee=phone.get("callee") or None,
        codec=call.voice.codec,
        trace_id=call.trace.trace_id,
    )


def figures_of(leg: Leg) -> Figures:
    """Return the figures of a call so far."""
    call = leg.call
    spent = call.meter.total()
    counted = ((name, round(value, 3)) for name, value in asdict(leg.stats()).items())
    return Figures(
        interruptions=call.counts.interruptions,
        cost_usd=spent.usd,
        tokens=spent.by_direction(),
        stats={name: value for name, value in counted if value},
        marks=call.timeline.to_json(),
        mos_in=call.quality.heard.mean,
        mos_out=call.quality.sent.mean,
    )


@dataclass(slots=True)
class _Begun:
    """A turn that is not final yet, or a running tool call."""

    at_ms: int
    heard: bool = False
    arguments: Any = field(default=None, repr=False)


class CallKeeper:
    """Keeps one call; its start is noted at once.

    Args:
        history: takes what happens in the call.
        start: the call.
        now_ms: returns Unix milliseconds that never go back.
        figures: returns the call's figures so far.
    """

    def __init__(
        self, history: History, start: CallStart, now_ms: Callable[[], int], figures: Callable[[], Figures]
    ) -> None:
        self._history, self._call, self._now_ms, self._figures = history, start, now_ms, figures
        self._caller_turns: dict[str, _Begun] = {}
        self._agent_turns: dict[str, _Begun] = {}
        self._tools: dict[str, _Begun] = {}
        self._turns = 0
        self._caller_began_ms: int | None = None  # start of speech that has no turn yet
        self._caller_stopped_ms: int | None = None  # None while the caller speaks
        self._agent_began_ms: int | None = None  # start of speech that has no turn yet
        self._response_ms: int | None = None  # for the agent's turn that becomes final next
        history.started(start)

    def note(self, event: events.Event) -> None:
        """Process an event of the call."""
        match event:
            case events.CallerStartedSpeaking():
                if self._caller_began_ms is None:
                    self._caller_began_ms = self._now_ms()
                self._caller_stopped_ms = None
            case events.CallerStoppedSpeaking():
                self._caller_stopped_ms = self._now_ms()
            case events.CallerTranscribed():
                self._note_caller(event)
            case events.AgentStartedSpeaking():
                self._note_voice()
            case events.AgentResponded():
                self._response_ms = event.response_ms
            case events.AgentTranscribed():
                self._note_agent(event)
            case events.ToolCalled():
                arguments = redacted(dict(event.arguments), event.report.masked)
                self._tools[event.call_id] = _Begun(self._now_ms(), arguments=arguments)
            case events.ToolFinished():
                self._note_tool(event)
            case events.CallEnded():
                self._note_end(event)

    def _note_caller(self, event: events.CallerTranscribed) -> None:
        now_ms = self._now_ms()
        turn = self._caller_turns.get(event.turn_id)
        if turn is None:
            began_ms = None
            if not event.typed:
                began_ms, self._caller_began_ms = self._caller_began_ms, None
            turn = self._caller_turns[event.turn_id] = _Begun(now_ms if began_ms is None else began_ms)
        if event.final:
            del self._caller_turns[event.turn_id]
            stopped_ms = None if event.typed else self._caller_stopped_ms
            self._turns += 1
            kept = Turn(
                turn_id=event.turn_id,
                speaker="caller",
                started_ms=turn.at_ms,
                ended_ms=now_ms if stopped_ms is None else max(turn.at_ms, stopped_ms),
                text=event.text,
                typed=event.typed,
            )
            self._history.turn(self._call, kept)

    def _note_voice(self) -> None:
        """Note that the agent is now heard; a turn whose words came before its sound begins only now."""
        now_ms = self._now_ms()
        silent = next((turn for turn in self._agent_turns.values() if not turn.heard), None)
        if silent is None:
            self._agent_began_ms = now_ms
        else:
            silent.at_ms, silent.heard = now_ms, True

    def _note_agent(self, event: events.AgentTranscribed) -> None:
        now_ms = self._now_ms()
        turn = self._agent_turns.get(event.turn_id)
        if turn is None:
            began_ms, self._agent_began_ms = self._agent_began_ms, None
            heard = began_ms is not None
            turn = self._agent_turns[event.turn_id] = _Begun(now_ms if began_ms is None else began_ms, heard)
        if event.final:
            del self._agent_turns[event.turn_id]
            response_ms, self._response_ms = self._response_ms, None
            self._turns += 1
            kept = Turn(
                turn_id=event.turn_id,
                speaker="agent",
                started_ms=turn.at_ms,
                ended_ms=now_ms,
                text=event.text,
                unheard=event.unheard_text,
                interrupted=event.interrupted,
                estimated=event.estimated,
                response_ms=response_ms,
            )
            self._history.turn(self._call, kept)

    def _note_tool(self, event: events.ToolFinished) -> None:
        now_ms = self._now_ms()
        tool = self._tools.pop(event.call_id, None) or _Begun(now_ms)
        use = ToolUse(
            key=event.call_id,
            name=event.name,
            started_ms=tool.at_ms,
            ended_ms=now_ms,
            outcome=event.outcome,
            arguments=tool.arguments,
            result=redacted(event.result, event.report.masked),
        )
        self._history.tool(self._call, use)

    def _note_end(self, event: events.CallEnded) -> None:
        figures = self._figures()
        end = CallEnd(
            ended_ms=self._now_ms(),
            reason=event.reason,
            detail=event.detail,
            fault=event.fault,
            turns=self._turns,
            interruptions=figures.interruptions,
            cost_usd=figures.cost_usd,
            tokens=figures.tokens,
            stats=figures.stats,
            marks=figures.marks,
            mos_in=figures.mos_in,
            mos_out=figures.mos_out,
        )
        self._history.ended(self._call, end)
