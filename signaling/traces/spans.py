"""The spans of one call, made after the fact from its timeline and events. Pure.

    call > set_up
         > invoke_agent (a turn) > user_speech, realtime_inference, execute_tool

A turn's spans are made once it is over: it has been heard to its end or was cut off, another turn has begun, or the
call has ended. The root is made last, so a killed process loses only the root and the turn under way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from agent import events
from agent.call.timeline import Timeline, ToolMarks, TurnMarks
from signaling.dialects.mask import redacted
from signaling.traces import names

MAX_SPAN_EVENTS = 128
MAX_TOOLS = 256  # per turn
MAX_CONTENT_CHARS = 32_768  # per attribute
_TOOL_NAME = re.compile(r"[\w.:-]{1,64}")

Attributes = dict[str, str | bool | int | float]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment within a span.

    Attributes:
        name: what happened.
        at: when it happened, as Unix time.
        attributes: details.
    """

    name: str
    at: float
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A finished span.

    Attributes:
        name: its name.
        span_id: 16 hexadecimal digits.
        parent_id: the id of its parent span; None for the root.
        began: its start, as Unix time.
        ended: its end, as Unix time.
        kind: OpenTelemetry's span kind.
        attributes: keyed by the names in `names`.
        happened: its events, oldest first.
        error: True if the operation failed.
    """

    name: str
    span_id: str
    parent_id: str | None
    began: float
    ended: float
    kind: Literal["internal", "client", "server"] = "internal"
    attributes: Attributes = field(default_factory=dict)
    happened: tuple[SpanEvent, ...] = ()
    error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What all spans of a call have in common.

    Attributes:
        call_id: the call's id.
        provider: the model's provider, see `names`.
        model: the model's name.
        speaks: True if the agent speaks, False if it writes.
        content: True if spans also hold what was said, and tools' arguments and results.
    """

    call_id: str
    provider: str
    model: str
    speaks: bool
    content: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a call so far, and its session.

    Attributes:
        session_id: the Live server's id of the session.
        cost_usd: the cost so far.
        interruptions: the number of interruptions so far.
        mos_in: mean of the estimates, see `agent.call.quality`.
        mos_out: the same for the other direction.
    """

    session_id: str | None = None
    cost_usd: float | None = None
    interruptions: int = 0
    mos_in: float | None = None
    mos_out: float | None = None


@dataclass(slots=True)
class _Turn:
    """A turn of the agent that is still under way."""

    generation: int
    speech_began: float | None  # monotonic, like all times here
    generated_at: float | None = None  # when the model had finished generating
    completed_at: float | None = None
    reason: str = "completed"
    said: list[tuple[str, str]] = field(default_factory=list)  # role and words; only with `About.content`
    tools: list[tuple[ToolMarks, Attributes]] = field(default_factory=list)


class CallSpans:
    """Make the spans of one call.

    Args:
        about: what all the spans have in common.
        timeline: the call's timeline, which must be told of each event before `note` is.
        figures: returns the call's figures so far.
        new_span_id: returns 16 random hexadecimal digits.
        parent_id: the id of the caller's span that led to the call; None if there is none.
    """

    def __init__(
        self,
        about: About,
        timeline: Timeline,
        figures: Callable[[], Figures],
        new_span_id: Callable[[], str],
        parent_id: str | None = None,
    ) -> None:
        self._about = about
        self._timeline = timeline
        self._figures = figures
        self._new_span_id = new_span_id
        self._parent_id = parent_id
        self._root_id = new_span_id()
        self._turn: _Turn | None = None
        self._speech_began: float | None = None
        self._said: list[tuple[str, str]] = []  # the caller's words from before the agent's turn began
        self._tools: list[tuple[ToolMarks, Attributes]] = []  # finished before the agent's turn began
        self._arguments: dict[str, Attributes] = {}  # for tools that are running
        self._tokens: Mapping[str, Mapping[str, int]] = {}  # the call's total
        self._told_tokens: Mapping[str, Mapping[str, int]] = {}  # the part of it that spans already report

    def note(self, event: events.Event, now: float) -> list[Span]:
        """Take in an event; return the spans that it finishes.

        Args:
            event: what happened.
            now: monotonic seconds on the call's clock.
        """
        match event:
            case events.CallSetUp(stages):
                return [self._set_up(stages, now)]
            case events.CallerStartedSpeaking() if self._speech_began is None:
                self._speech_began = now
            case events.CallerTranscribed(text=text, final=True):
                self._hear("user", text)
            case events.AgentTranscribed(text=text, final=True):
                self._hear("assistant", text)
            case events.GenerationStarted(generation):
                spans = self._end_turn(now)
                self._turn = _Turn(generation, self._speech_began, said=self._said, tools=self._tools)
                self._speech_began, self._said, self._tools = None, [], []
                return spans
            case events.GenerationCompleted(generation) if self._is(generation):
                assert self._turn is not None
                self._turn.generated_at = now
            case events.TurnCompleted(generation, reason) if self._is(generation):
                assert self._turn is not None
                self._turn.completed_at = now
                if reason == "session_ended":
                    self._turn.reason = "session_closed"
            case events.ToolCalled():
                self._tool_called(event)
            case events.ToolFinished():
                self._tool_ended(event)
            case events.UsageReported(tokens):
                self._tokens = tokens
            case events.CallEnded():
                return [*self._end_turn(now), self._root(event, now)]
        return self._end_turn(now) if self._is_over() else []

    def _is(self, generation: int) -> bool:
        return self._turn is not None and self._turn.generation == generation

    def _marks(self) -> TurnMarks | None:
        if self._turn is None:
            return None
        generation = self._turn.generation
        return next((turn for turn in reversed(self._timeline.turns) if turn.generation == generation), None)

    def _is_over(self) -> bool:
        """Return whether the turn was cut off, or is complete with all of its voice sent."""
        if self._turn is None or self._turn.completed_at is None:
            return False
        marks = self._marks()
        if marks is None or marks.audio_at is None or marks.cut_heard_samples is not None:
            return True
        return marks.last_packet_at is not None

    def _hear(self, role: str, text: str) -> None:
        if self._about.content and text:
            (self._said if self._turn is None else self._turn.said).append((role, text))

    def _tool_called(self, event: events.ToolCalled) -> None:
        attributes: Attributes = {}
        if self._about.content:
            attributes[names.TOOL_ARGUMENTS] = _json(redacted(dict(event.arguments), event.report.masked))
        if len(self._arguments) < MAX_TOOLS:
            self._arguments[event.call_id] = attributes

    def _tool_ended(self, event: events.ToolFinished) -> None:
        marks = next((tool for tool in reversed(self._timeline.tools) if tool.key == event.call_id), None)
        attributes = self._arguments.pop(event.call_id, {})
        tools = self._tools if self._turn is None else self._turn.tools
        if marks is None or len(tools) >= MAX_TOOLS:
            return
        if self._about.content:
            attributes[names.TOOL_RESULT] = _json(redacted(event.result, event.report.masked))
        tools.append((marks, attributes))

    def _set_up(self, stages: events.SetUpStages, now: float) -> Span:
        timeline = self._timeline
        return Span(
            name=names.SET_UP,
            span_id=self._new_span_id(),
            parent_id=self._root_id,
            began=timeline.unix(timeline.began_at),
            ended=timeline.unix(now),
            attributes={names.CONVERSATION_ID: self._about.call_id, **_stages(stages)},
            happened=tuple(
                SpanEvent(name, timeline.unix(at)) for name, at in sorted(timeline.instants.items(), key=_second)
            ),
        )

    def _end_turn(self, now: float) -> list[Span]:
        turn, marks = self._turn, self._marks()
        if turn is None or marks is None:
            self._turn = None
            return []
        self._turn = None
        ends = (marks.output_at, turn.completed_at, turn.generated_at, marks.heard_at, marks.last_packet_at)
        ended = min(max(each for each in ends if each is not None), now)
        asked = marks.asked_at if marks.asked_at is not None and not marks.typed else None
        speech_began = turn.speech_began if asked is not None and (turn.speech_began or asked) < asked else None
        begins = (marks.output_at, marks.asked_at, speech_began, *(tool.began_at for tool, _ in turn.tools))
        began = min(each for each in begins if each is not None)
        turn_id = self._new_span_id()
        spans = [self._turn_span(turn, marks, turn_id, began, ended)]
        if speech_began is not None and asked is not None:
            spans.append(self._span(names.USER_SPEECH, turn_id, speech_began, asked))
        spans.append(self._inference(turn, marks, turn_id, ended))
        spans += [self._tool(tool, attributes, turn_id, now) for tool, attributes in turn.tools]
        return spans

    def _turn_span(self, turn: _Turn, marks: TurnMarks, turn_id: str, began: float, ended: float) -> Span:
        cut = marks.cut_heard_samples is not None
        attributes: Attributes = {
            names.OPERATION_NAME: names.INVOKE_AGENT,
            names.END_REASON: "interrupted" if cut else turn.reason,
            names.OUTPUT_TYPE: names.SPEECH if self._about.speaks else names.TEXT,
            names.GENERATION: turn.generation,
        }
        if marks.asked_at is not None and marks.heard_at is not None:
            attributes[names.RESPONSE_S] = round(marks.heard_at - marks.asked_at, 4)
            attributes[names.TYPED] = marks.typed
        if marks.stages is not None:
            attributes |= _stages(marks.stages)
        for name, role in ((names.INPUT_MESSAGES, "user"), (names.OUTPUT_MESSAGES, "assistant")):
            said = [{"role": who, "parts": [{"type": "text", "content": text}]} for who, text in turn.said]
            said = [message for message in said if message["role"] == role]
            if said:
                attributes[name] = _json(said)
        return self._span(names.INVOKE_AGENT, self._root_id, began, ended, attributes, span_id=turn_id)

    def _inference(self, turn: _Turn, marks: TurnMarks, turn_id: str, ended: float) -> Span:
        starts = (marks.sent_at if marks.asked_at is not None else None, marks.asked_at, marks.output_at)
        began = next(each for each in starts if each is not None)
        if marks.asked_at is not None:
            began = max(began, marks.asked_at)
        done = turn.generated_at or turn.completed_at or ended
        attributes: Attributes = {
            names.OPERATION_NAME: names.REALTIME_INFERENCE,
            names.PROVIDER_NAME: self._about.provider,
            names.REQUEST_MODEL: self._about.model,
            names.OUTPUT_TYPE: names.SPEECH if self._about.speaks else names.TEXT,
            **self._new_tokens(),
        }
        session_id = self._figures().session_id
        if session_id is not None:
            attributes[names.SESSION_ID] = session_id
        name = f"{names.REALTIME_INFERENCE} {self._about.model}"
        return self._span(
            name, turn_id, min(began, marks.output_at), max(done, marks.output_at), attributes, "client"
        )

    def _tool(self, tool: ToolMarks, content: Attributes, turn_id: str, now: float) -> Span:
        name = tool.name if _TOOL_NAME.fullmatch(tool.name) else "unreadable"  # models invent names
        failed = tool.outcome in ("error", "timeout")
        attributes: Attributes = {
            names.OPERATION_NAME: names.EXECUTE_TOOL,
            names.TOOL_NAME: name,
            names.TOOL_OUTCOME: tool.outcome or "",
            **content,
        }
        if failed and tool.outcome is not None:
            attributes[names.ERROR_TYPE] = tool.outcome
        ended = now if tool.ended_at is None else tool.ended_at
        return self._span(f"{names.EXECUTE_TOOL} {name}", turn_id, tool.began_at, ended, attributes, error=failed)

    def _root(self, end: events.CallEnded, now: float) -> Span:
        figures = self._figures()
        optional = {
            names.COST_USD: figures.cost_usd,
            names.MOS_IN: figures.mos_in,
            names.MOS_OUT: figures.mos_out,
            names.SESSION_ID: figures.session_id,
        }
        attributes: Attributes = {
            names.PROVIDER_NAME: self._about.provider,
            names.REQUEST_MODEL: self._about.model,
            names.CALL_END_REASON: end.reason,
            names.FAULT: end.fault,
            names.INTERRUPTIONS: figures.interruptions,
            **_tokens(self._tokens, {}),
            **_stages(self._timeline.set_up()),
            **{name: value for name, value in optional.items() if value is not None},
        }
        if end.is_error:
            attributes[names.ERROR_TYPE] = end.reason
        marks = list(self._timeline.marks)[-MAX_SPAN_EVENTS:]
        happened = tuple(
            SpanEvent(mark.kind, self._timeline.unix(mark.at), {names.DETAIL: mark.detail}) for mark in marks
        )
        return self._span(
            names.CALL,
            self._parent_id,
            self._timeline.began_at,
            now,
            attributes,
            "server",
            error=end.is_error,
            happened=happened,
            span_id=self._root_id,
        )

    def _span(
        self,
        name: str,
        parent_id: str | None,
        began: float,
        ended: float,
        attributes: Attributes | None = None,
        kind: Literal["internal", "client", "server"] = "internal",
        *,
        error: bool = False,
        happened: tuple[SpanEvent, ...] = (),
        span_id: str | None = None,
    ) -> Span:
        return Span(
            name=name,
            span_id=span_id or self._new_span_id(),
            parent_id=parent_id,
            began=self._timeline.unix(began),
            ended=self._timeline.unix(max(began, ended)),
            kind=kind,
            attributes={names.CONVERSATION_ID: self._about.call_id, **(attributes or {})},
            happened=happened,
            error=error,
        )

    def _new_tokens(self) -> Attributes:
        before, self._told_tokens = self._told_tokens, self._tokens
        return _tokens(self._tokens, before)


def _tokens(now: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]) -> Attributes:
    """Return the increase of the token counts, as attributes."""
    found: Attributes = {}
    for direction, total, audio, text in (
        ("prompt", names.INPUT_TOKENS, names.AUDIO_INPUT_TOKENS, names.TEXT_INPUT_TOKENS),
        ("response", names.OUTPUT_TOKENS, names.AUDIO_OUTPUT_TOKENS, names.TEXT_OUTPUT_TOKENS),
    ):
        older = before.get(direction, {})
        grown = {each: count - older.get(each, 0) for each, count in now.get(direction, {}).items()}
        if any(grown.values()):
            found[total] = sum(grown.values())
            found |= {name: grown[each] for each, name in (("AUDIO", audio), ("TEXT", text)) if grown.get(each, 0)}
    return found


def _stages(stages: events.Stages | events.SetUpStages) -> Attributes:
    return {f"{names.STAGE_MS}{name}": value for name, value in asdict(stages).items() if value is not None}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:MAX_CONTENT_CHARS]


def _second(pair: tuple[str, float]) -> float:
    return pair[1]
